package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
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

func (l *local) await(limit time.Duration) error {
	last := "no answer"
	for begin := time.Now(); time.Since(begin) < limit; time.Sleep(300 * time.Millisecond) {
		code, data, err := l.call(http.MethodGet, "/readyz", plain, nil)
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

// condition sets EtcdIsVoter on the node that says that it is this member.
func (l *local) condition(member string, voter bool, reason string) {
	_, data, err := l.call(http.MethodGet, "/api/v1/nodes", plain, nil)
	var nodes struct{ Items []object }
	if err != nil || json.Unmarshal(data, &nodes) != nil {
		return
	}
	status := map[bool]string{true: "True", false: "False"}[voter]
	now := time.Now().UTC().Format(time.RFC3339)
	for _, node := range nodes.Items {
		if node.Metadata.Annotations[memberAnnotation] == member {
			body := map[string]any{"status": map[string]any{"conditions": []map[string]string{
				{"type": "EtcdIsVoter", "status": status, "reason": reason, "message": "Node is a voting member of the etcd cluster", "lastHeartbeatTime": now, "lastTransitionTime": now},
			}}}
			l.call(http.MethodPatch, "/api/v1/nodes/"+node.Metadata.Name+"/status", patch, body)
		}
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
