package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// local is this server's own API server, asked as the administrator.
type local struct{ client *http.Client }

func newLocal() *local {
	config := &tls.Config{RootCAs: pool(tlsDir + "/server-ca.crt"), Certificates: []tls.Certificate{pair("client-admin")}}
	return &local{&http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: config}}}
}

func (l *local) call(method, path, kind string, body any) (int, []byte, error) {
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(encode(body))
	}
	request, err := http.NewRequest(method, "https://127.0.0.1:6444"+path, reader)
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Content-Type", kind)
	response, err := l.client.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	return response.StatusCode, data, err
}

const (
	plain = "application/json"
	patch = "application/strategic-merge-patch+json"
)

// apiTick is how often K3s asks whether the API server is ready (pkg/util/api.go).
const apiTick = 2 * time.Second

// await waits until the API server is ready. `answers` is called as soon as it answers at all.
func (l *local) await(limit time.Duration, answers func()) error {
	last := "no answer"
	for begin := time.Now(); time.Since(begin) < limit; time.Sleep(apiTick) {
		code, data, err := l.call(http.MethodGet, "/readyz", plain, nil)
		if err == nil {
			answers()
		}
		if err == nil && code == http.StatusOK {
			write(serverDir+"/cred/.api", nil, 0o600)
			return nil
		}
		if err != nil {
			last = err.Error()
		} else {
			last = string(data)
		}
	}
	return fmt.Errorf("timed out: %s", last)
}

const memberAnnotation = "etcd.k3s.cattle.io/node-name"

type object struct {
	Metadata struct {
		Name        string            `json:"name"`
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
	Data map[string][]byte `json:"data"`
}

// markServer gives this node its roles and its member's name, as soon as it is registered.
func (l *local) markServer(config Config) {
	body := map[string]any{"metadata": map[string]any{
		"labels":      map[string]string{"node-role.kubernetes.io/control-plane": "true", "node-role.kubernetes.io/etcd": "true"},
		"annotations": map[string]string{memberAnnotation: memberName(config)},
	}}
	for {
		if code, _, err := l.call(http.MethodPatch, "/api/v1/nodes/"+config.node(), patch, body); err == nil && code == http.StatusOK {
			return
		}
		time.Sleep(time.Second)
	}
}

// condition is a node's EtcdIsVoter, in K3s's words (pkg/etcd/etcd.go, setEtcdStatusCondition).
type condition struct {
	Type              string `json:"type"`
	Status            string `json:"status"`
	Reason            string `json:"reason"`
	Message           string `json:"message"`
	LastHeartbeatTime string `json:"lastHeartbeatTime,omitempty"`
	Transition        string `json:"lastTransitionTime,omitempty"`
}

const (
	voterCondition = "EtcdIsVoter"
	// heartbeat: a condition that stays as it was is written again after this time only.
	heartbeat = 5 * time.Minute
)

var (
	voter = condition{Status: "True", Reason: "MemberNotLearner",
		Message: "Node is a voting member of the etcd cluster"}
	learner = condition{Status: "False", Reason: "MemberIsLearner",
		Message: "Node has not been promoted to voting member of the etcd cluster"}
	stranger = condition{Status: "False", Reason: "NotAMember",
		Message: "Node is not a member of the etcd cluster"}
)

func unhealthy(message string) condition {
	return condition{Status: "False", Reason: "Unhealthy", Message: message}
}

// conditions tells each node that has etcd's role what its member is.
func (l *local) conditions(members map[string]condition) {
	selector := "/api/v1/nodes?labelSelector=node-role.kubernetes.io/etcd%3Dtrue"
	_, data, err := l.call(http.MethodGet, selector, plain, nil)
	var nodes struct {
		Items []struct {
			object
			Status struct{ Conditions []condition }
		}
	}
	if err != nil || json.Unmarshal(data, &nodes) != nil {
		return
	}
	for _, node := range nodes.Items {
		now, known := members[node.Metadata.Annotations[memberAnnotation]]
		if !known {
			now = stranger
		}
		now.Type = voterCondition
		now.LastHeartbeatTime = time.Now().UTC().Format(time.RFC3339)
		now.Transition = now.LastHeartbeatTime
		fresh := false
		for _, old := range node.Status.Conditions {
			same := old.Status == now.Status && old.Reason == now.Reason && old.Message == now.Message
			if old.Type == voterCondition && same {
				now.Transition = old.Transition
				at, err := time.Parse(time.RFC3339, old.LastHeartbeatTime)
				fresh = err == nil && time.Since(at) < heartbeat
			}
		}
		if !fresh {
			body := map[string]any{"status": map[string]any{"conditions": []condition{now}}}
			l.call(http.MethodPatch, "/api/v1/nodes/"+node.Metadata.Name+"/status", patch, body)
		}
	}
}

const announcements, announceLease = "/double/apiservers/", 15 // seconds, as the API server's own reconciler

// announce keeps this server among the endpoints of default/kubernetes, on port 6443: K3s's API server is told that port in
// its own process; a separate one would publish the port that it listens on.
func announce(config Config, api *local) {
	client := etcdClient(ownEtcd)
	key := announcements + advertised(config)
	for ; ; time.Sleep(2 * time.Second) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		lease, err := client.Grant(ctx, announceLease)
		if err == nil {
			_, err = client.Put(ctx, key, "", clientv3.WithLease(lease.ID))
		}
		var found *clientv3.GetResponse
		if err == nil {
			found, err = client.Get(ctx, announcements, clientv3.WithPrefix(), clientv3.WithKeysOnly())
		}
		cancel()
		if err != nil {
			continue
		}
		addresses := []string{}
		for _, item := range found.Kvs {
			addresses = append(addresses, string(item.Key)[len(announcements):])
		}
		api.publish(addresses)
	}
}

func (l *local) publish(addresses []string) {
	old, slices := []map[string]string{}, []map[string]any{}
	for _, address := range addresses {
		old = append(old, map[string]string{"ip": address})
		slices = append(slices, map[string]any{"addresses": []string{address}, "conditions": map[string]bool{"ready": true}})
	}
	port := []map[string]any{{"name": "https", "port": 6443, "protocol": "TCP"}}
	name := map[string]any{"name": "kubernetes", "namespace": "default", "labels": map[string]string{"endpointslice.kubernetes.io/skip-mirror": "true"}}
	l.apply("/api/v1/namespaces/default/endpoints/kubernetes", map[string]any{"apiVersion": "v1", "kind": "Endpoints", "metadata": name,
		"subsets": []any{map[string]any{"addresses": old, "ports": port}}})
	name = map[string]any{"name": "kubernetes", "namespace": "default", "labels": map[string]string{"kubernetes.io/service-name": "kubernetes"}}
	l.apply("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes", map[string]any{"apiVersion": "discovery.k8s.io/v1",
		"kind": "EndpointSlice", "metadata": name, "addressType": "IPv4", "endpoints": slices, "ports": port})
}

func (l *local) apply(path string, body any) {
	code, data, err := l.call(http.MethodPatch, path+"?fieldManager=double&force=true", "application/apply-patch+yaml", body)
	if err != nil || code >= 300 {
		warn("endpoints of default/kubernetes: %v %s", err, data)
	}
}

// apiServers are the addresses behind the Service default/kubernetes.
func (l *local) apiServers() []string {
	_, data, err := l.call(http.MethodGet, "/api/v1/namespaces/default/endpoints/kubernetes", plain, nil)
	var found struct {
		Subsets []struct{ Addresses []struct{ IP string } }
	}
	servers := []string{}
	if err == nil && json.Unmarshal(data, &found) == nil {
		for _, subset := range found.Subsets {
			for _, address := range subset.Addresses {
				servers = append(servers, address.IP+":6443")
			}
		}
	}
	return servers
}

// checkPassword keeps the hash of a node's first password in a Secret and compares later ones with it.
func (l *local) checkPassword(node, password string) error {
	sum := sha256.Sum256([]byte(node + password))
	mine := hex.EncodeToString(sum[:])
	name := node + ".node-password.k3s"
	code, data, err := l.call(http.MethodGet, "/api/v1/namespaces/kube-system/secrets/"+name, plain, nil)
	if err != nil {
		return err
	}
	if code == http.StatusNotFound {
		body := map[string]any{"apiVersion": "v1", "kind": "Secret", "metadata": map[string]string{"name": name}, "stringData": map[string]string{"hash": mine}}
		code, data, err = l.call(http.MethodPost, "/api/v1/namespaces/kube-system/secrets", plain, body)
		if err == nil && code != http.StatusCreated {
			err = fmt.Errorf("unable to store the node password: %s", data)
		}
		return err
	}
	var found object
	if err := json.Unmarshal(data, &found); err != nil {
		return err
	}
	if string(found.Data["hash"]) != mine {
		return fmt.Errorf("Node password rejected, duplicate hostname or contents of '/etc/rancher/node/password' may not match server node-passwd entry, try enabling a unique node name with the --with-node-id flag")
	}
	return nil
}
