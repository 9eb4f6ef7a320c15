package main

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
)

// poll asks the API for a list and reduces it to what matters.
type poll struct {
	link   *link
	path   string
	reduce func([]item) any
}

// item holds what any of the three lists says of one object.
type item struct {
	Metadata struct {
		Name     string  `json:"name"`
		Deletion *string `json:"deletionTimestamp"`
	} `json:"metadata"`
	Spec struct {
		Node string `json:"nodeName"`
	} `json:"spec"`
	Status struct {
		Phase      string      `json:"phase"`
		Conditions []condition `json:"conditions"`
	} `json:"status"`
	Endpoints []struct {
		Addresses  []string `json:"addresses"`
		Conditions struct {
			Ready *bool `json:"ready"`
		} `json:"conditions"`
	} `json:"endpoints"`
}

type condition struct {
	Type   string `json:"type"`
	Status string `json:"status"`
}

func newPoll(link *link, q Question) *poll {
	space := "/namespaces/" + q.Namespace
	switch q.Kind {
	case "nodes":
		return &poll{link, "/api/v1/nodes", nodes}
	case "pods":
		return &poll{link, "/api/v1" + space + "/pods" + q.Path, pods}
	}
	return &poll{link, "/apis/discovery.k8s.io/v1" + space + "/endpointslices?labelSelector=kubernetes.io/service-name%3D" + q.Service, endpoints}
}

func (p *poll) ask(ctx context.Context) answer {
	got := p.link.do(ctx, http.MethodGet, p.path, "", "")
	if got.err != nil || got.code != http.StatusOK {
		return answer{detail: got.detail()}
	}
	var list struct {
		Items []item `json:"items"`
	}
	if err := json.Unmarshal(got.body, &list); err != nil {
		return answer{detail: "no list"}
	}
	return answer{ok: true, value: p.reduce(list.Items)}
}

func (i item) ready() bool {
	for _, row := range i.Status.Conditions {
		if row.Type == "Ready" {
			return row.Status == "True"
		}
	}
	return false
}

// nodes: name → Ready or NotReady.
func nodes(items []item) any {
	found := map[string]string{}
	for _, item := range items {
		found[item.Metadata.Name] = map[bool]string{true: "Ready", false: "NotReady"}[item.ready()]
	}
	return found
}

type podState struct {
	Node     string `json:"node"`
	Phase    string `json:"phase"`
	Ready    bool   `json:"ready"`
	Deleting bool   `json:"deleting,omitempty"`
}

// pods: name → where it is and how it does.
func pods(items []item) any {
	found := map[string]podState{}
	for _, item := range items {
		found[item.Metadata.Name] = podState{item.Spec.Node, item.Status.Phase, item.ready(), item.Metadata.Deletion != nil}
	}
	return found
}

// endpoints: the addresses that the Service sends to.
func endpoints(items []item) any {
	found := []string{}
	for _, item := range items {
		for _, row := range item.Endpoints {
			if row.Conditions.Ready == nil || *row.Conditions.Ready { // nil means true (discovery.k8s.io/v1)
				found = append(found, row.Addresses...)
			}
		}
	}
	slices.Sort(found)
	return found
}
