package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
)

const (
	corednsFile = serverDir + "/manifests/coredns.yaml"
	// corednsImage is the packaged one's name (scripts/airgap/image-list.txt); the tests' archive holds
	// halab's own CoreDNS under it.
	corednsImage = "rancher/mirrored-coredns-coredns:1.14.6"
)

// stageCoreDNS lays the packaged DNS down, anew at each start; a disabled one is not laid down.
func stageCoreDNS(config Config) {
	if contains(config.all("disable"), "coredns") || exists(corednsFile+".skip") {
		return
	}
	registry := config.one("system-default-registry")
	if registry != "" {
		registry += "/"
	}
	content := fmt.Sprintf(corednsManifest, config.one("cluster-domain"), config.one("cluster-dns"), registry+corednsImage)
	write(corednsFile, []byte(content), 0o600)
}

// nodeHosts keeps the key NodeHosts of the ConfigMap `coredns`: without it the pods' volume cannot be
// mounted (pkg/node/controller.go).
func (l *local) nodeHosts() {
	_, data, err := l.call(http.MethodGet, "/api/v1/nodes", plain, nil)
	var nodes struct {
		Items []struct {
			object
			Status struct {
				Addresses []struct{ Type, Address string }
			}
		}
	}
	if err != nil || json.Unmarshal(data, &nodes) != nil {
		return
	}
	lines := ""
	for _, node := range nodes.Items {
		for _, item := range node.Status.Addresses {
			if item.Type == "InternalIP" && !strings.Contains(item.Address, ":") {
				lines += item.Address + " " + node.Metadata.Name + "\n"
			}
		}
	}
	path := "/api/v1/namespaces/kube-system/configmaps/coredns"
	code, data, err := l.call(http.MethodGet, path, plain, nil)
	var old struct{ Data map[string]string }
	if err != nil || code != http.StatusOK || json.Unmarshal(data, &old) != nil {
		return
	}
	if old.Data["NodeHosts"] != lines {
		body := map[string]any{"data": map[string]string{"NodeHosts": lines}}
		if _, _, err := l.call(http.MethodPatch, path, patch, body); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}

// corednsManifest has what matters of the packaged one (manifests/coredns.yaml): what is not the
// cluster's is forwarded to the servers of the pod's own resolv.conf, which with dnsPolicy Default is
// kubelet's; `loop` ends a CoreDNS that so asks itself.
const corednsManifest = `apiVersion: v1
kind: ServiceAccount
metadata: {name: coredns, namespace: kube-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: "system:coredns"}
rules:
- {apiGroups: [""], resources: [endpoints, services, pods, namespaces], verbs: [list, watch]}
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: "system:coredns"}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "system:coredns"}
subjects:
- {kind: ServiceAccount, name: coredns, namespace: kube-system}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: coredns, namespace: kube-system}
data:
  Corefile: |
    .:53 {
        errors
        health
        ready
        kubernetes %[1]s in-addr.arpa ip6.arpa {
            pods insecure
            fallthrough in-addr.arpa ip6.arpa
        }
        hosts /etc/coredns/NodeHosts {
            ttl 60
            reload 15s
            fallthrough
        }
        prometheus :9153
        cache 30
        loop
        reload
        loadbalance
        forward . /etc/resolv.conf
        import /etc/coredns/custom/*.override
    }
    import /etc/coredns/custom/*.server
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: coredns, namespace: kube-system, labels: {k8s-app: kube-dns}}
spec:
  revisionHistoryLimit: 0
  strategy: {type: RollingUpdate, rollingUpdate: {maxUnavailable: 1}}
  selector: {matchLabels: {k8s-app: kube-dns}}
  template:
    metadata: {labels: {k8s-app: kube-dns}}
    spec:
      priorityClassName: system-cluster-critical
      serviceAccountName: coredns
      dnsPolicy: Default
      tolerations:
      - {key: CriticalAddonsOnly, operator: Exists}
      - {key: node-role.kubernetes.io/control-plane, operator: Exists, effect: NoSchedule}
      topologySpreadConstraints:
      - maxSkew: 1
        topologyKey: kubernetes.io/hostname
        whenUnsatisfiable: DoNotSchedule
        labelSelector: {matchLabels: {k8s-app: kube-dns}}
      containers:
      - name: coredns
        image: %[3]s
        imagePullPolicy: IfNotPresent
        args: [-conf, /etc/coredns/Corefile]
        resources: {limits: {memory: 170Mi}, requests: {cpu: 100m, memory: 70Mi}}
        ports:
        - {containerPort: 53, name: dns, protocol: UDP}
        - {containerPort: 53, name: dns-tcp, protocol: TCP}
        - {containerPort: 9153, name: metrics, protocol: TCP}
        volumeMounts:
        - {name: config-volume, mountPath: /etc/coredns, readOnly: true}
        - {name: custom-config-volume, mountPath: /etc/coredns/custom, readOnly: true}
        livenessProbe: {httpGet: {path: /health, port: 8080}, initialDelaySeconds: 60}
        readinessProbe: {httpGet: {path: /ready, port: 8181}, periodSeconds: 2}
        securityContext:
          allowPrivilegeEscalation: false
          readOnlyRootFilesystem: true
          capabilities: {add: [NET_BIND_SERVICE], drop: [ALL]}
      volumes:
      - name: config-volume
        configMap:
          name: coredns
          items: [{key: Corefile, path: Corefile}, {key: NodeHosts, path: NodeHosts}]
      - name: custom-config-volume
        configMap: {name: coredns-custom, optional: true}
---
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system, labels: {k8s-app: kube-dns}}
spec:
  clusterIP: %[2]s
  clusterIPs: [%[2]s]
  selector: {k8s-app: kube-dns}
  ports:
  - {name: dns, port: 53, protocol: UDP}
  - {name: dns-tcp, port: 53, protocol: TCP}
  - {name: metrics, port: 9153, protocol: TCP}
`
