package main

import (
	"encoding/json"
	"net/http"
	"os"
	"time"
)

// election is one of the leases that K3s's own process wants, besides those of kube-controller-manager
// and kube-scheduler, which are programs of their own here. Who held one and lost it ends: in K3s all
// are one process (wrangler's pkg/leader, RunOrDie; pkg/server/server.go).
type election struct {
	name                   string
	duration, renew, retry time.Duration
}

// elections are K3s's controllers', of its API server and of etcd, at wrangler's times, and the cloud
// controller manager's at Kubernetes's own.
var elections = []election{
	{"k3s", 45 * time.Second, 30 * time.Second, 2 * time.Second},
	{"k3s-etcd", 45 * time.Second, 30 * time.Second, 2 * time.Second},
	{"k3s-cloud-controller-manager", 15 * time.Second, 10 * time.Second, 2 * time.Second},
}

// withEnvironment takes wrangler's times from where K3s takes them.
func (e election) withEnvironment() election {
	for name, target := range map[string]*time.Duration{
		"CATTLE_ELECTION_LEASE_DURATION": &e.duration,
		"CATTLE_ELECTION_RENEW_DEADLINE": &e.renew,
		"CATTLE_ELECTION_RETRY_PERIOD":   &e.retry,
	} {
		if value, err := time.ParseDuration(os.Getenv(name)); err == nil && value > 0 {
			*target = value
		}
	}
	return e
}

const (
	leases     = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
	microTimes = "2006-01-02T15:04:05.000000Z07:00"
)

type lease struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name            string `json:"name"`
		ResourceVersion string `json:"resourceVersion,omitempty"`
	} `json:"metadata"`
	Spec struct {
		Holder   string `json:"holderIdentity"`
		Seconds  int    `json:"leaseDurationSeconds"`
		Acquired string `json:"acquireTime,omitempty"`
		Renewed  string `json:"renewTime"`
	} `json:"spec"`
}

// run takes part for ever. `led` is called each time that this process holds the lease.
func (e election) run(api *local, identity string, led func()) {
	var seen string
	var changed, renewed time.Time
	holds := false
	for ; ; time.Sleep(e.retry) {
		found, code, err := e.read(api)
		if err == nil && found.Metadata.ResourceVersion != seen {
			// Others' clocks do not count: only that the lease has changed, and when we saw it.
			seen, changed = found.Metadata.ResourceVersion, time.Now()
		}
		own := found.Spec.Holder == identity || found.Spec.Holder == ""
		free := code == http.StatusNotFound || own || time.Since(changed) > e.duration
		if err == nil && free && e.write(api, found, identity) {
			if !holds {
				info("successfully acquired lease kube-system/%s", e.name)
			}
			holds, renewed = true, time.Now()
			led()
		}
		if holds && time.Since(renewed) > e.renew {
			fatal("leaderelection lost for %s", e.name)
		}
	}
}

func (e election) read(api *local) (lease, int, error) {
	var found lease
	code, data, err := api.call(http.MethodGet, leases+"/"+e.name, plain, nil)
	if err == nil && code == http.StatusOK {
		err = json.Unmarshal(data, &found)
	} else if err == nil && code != http.StatusNotFound {
		err = os.ErrDeadlineExceeded // no quorum, no answer: as good as none
	}
	return found, code, err
}

// write takes or renews; the version that was read makes sure that only one does.
func (e election) write(api *local, found lease, identity string) bool {
	now := time.Now().UTC().Format(microTimes)
	method, path := http.MethodPut, leases+"/"+e.name
	if found.Metadata.Name == "" {
		method, path = http.MethodPost, leases
	}
	found.APIVersion, found.Kind = "coordination.k8s.io/v1", "Lease"
	found.Metadata.Name = e.name
	if found.Spec.Holder != identity {
		found.Spec.Holder, found.Spec.Acquired = identity, now
	}
	found.Spec.Seconds, found.Spec.Renewed = int(e.duration.Seconds()), now
	code, _, err := api.call(method, path, plain, found)
	return err == nil && code < http.StatusMultipleChoices
}
