package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	kubeconfigFile = "/etc/rancher/k3s/k3s.yaml"
	apiLimit       = 15 * time.Minute // pkg/util/api.go: after that the process ends and is started again
	deployTick     = 15 * time.Second
)

func server(config Config) {
	unpack()
	if config.is("cluster-reset") {
		fatal("the double has no cluster-reset")
	}
	must(os.MkdirAll(tlsDir+"/etcd", 0o700))
	to := bootstrap(config)
	makeAuthorities()
	makeCertificates(config)
	writeTokens(config)
	memberName(config) // settled with the listener, before anything else starts (pkg/etcd/etcd.go, Register)
	api := newLocal()
	front := newSupervisor(config, api)
	front.listen()
	runtime := startRuntime(config)
	if to == nil {
		front.datastore.Store(true) // a joiner may ask the first server while its own etcd settles
	}
	go manage(config, api) // from the start of etcd on (pkg/etcd/etcd.go, Start)
	datastore(config, to)
	front.datastore.Store(true)
	startControl(config)
	if err := api.await(apiLimit, func() { front.serving.Store(true) }); err != nil {
		fatal("apiserver not ready: %v", err)
	}
	front.ready.Store(true)
	writeKubeconfig(config)
	write(serverDir+"/manifests/rolebindings.yaml", []byte(roleBindings), 0o600)
	stageCoreDNS(config)
	for _, name := range []string{"local-storage", "metrics-server", "servicelb", "traefik"} {
		if !contains(config.all("disable"), name) {
			warn("packaged component %s: %s, it has none", name, words)
		}
	}
	go deploy(config)
	elect(config, api)
	go announce(config, api)
	go api.markServer(config)
	notify("READY=1")
	info("k3s is up and running (%s)", words)
	agent(config, "https://127.0.0.1:6443", true, runtime)
}

// elect takes part in K3s's own elections; the leader of its controllers keeps the packaged DNS's list
// of nodes (pkg/node/controller.go), if that is deployed.
func elect(config Config, api *local) {
	identity := config.node() // wrangler takes the machine's name
	for _, item := range elections {
		led := func() {}
		if item.name == "k3s" && !contains(config.all("disable"), "coredns") {
			led = api.nodeHosts
		}
		if item.name != "k3s-cloud-controller-manager" {
			item = item.withEnvironment()
		} else if config.is("disable-cloud-controller") {
			continue
		}
		go item.run(api, identity, led)
	}
}

func contains(all []string, word string) bool {
	for _, item := range all {
		for _, part := range strings.Split(item, ",") {
			if part == word {
				return true
			}
		}
	}
	return false
}

// bootstrap decides: a new cluster, a start from own data, or a join. It gives the server to join through, or nil.
func bootstrap(config Config) *remote {
	url := config.one("server")
	if initialised() {
		if url != "" {
			if to, err := dial(url, config.token(), "server"); err != nil {
				warn("Unable to reconcile with remote datastore: %v", err)
			} else if _, err := to.get("/v1-k3s/server-bootstrap", 15*time.Second, nil); err != nil {
				warn("Unable to reconcile with remote datastore: %v", err)
			}
		}
		return nil
	}
	if url == "" {
		if !config.is("cluster-init") {
			fatal("neither cluster-init nor server: K3s would use SQLite, which the double has not")
		}
		if strings.HasPrefix(config.token(), "K10") && !exists(tlsDir+"/server-ca.crt") {
			fatal("failed to normalize server token; must be in format K10<CA-HASH>::<USERNAME>:<PASSWORD> or <PASSWORD>, and a new cluster without custom CA certificates takes only the short form")
		}
		return nil
	}
	// cluster-init together with server joins, too.
	if config.token() == "" {
		fatal("--token is required to join a cluster")
	}
	return fetchBootstrap(config, url)
}

func fetchBootstrap(config Config, url string) *remote {
	to, err := dial(url, config.token(), "server")
	if err != nil {
		fatal("starting kubernetes: preparing server: %v", err)
	}
	asAgent := *to
	if secret := config.secret("agent-token"); secret != "" {
		asAgent.user, asAgent.password = "node", secret
	}
	theirs := map[string]string{}
	if err := asAgent.json("/v1-k3s/config", &theirs, 15*time.Second); err != nil {
		fatal("starting kubernetes: preparing server: %v", err)
	}
	for key, value := range config.critical() {
		if theirs[key] != value {
			warn("critical configuration mismatched: %s", key)
			fatal("starting kubernetes: preparing server: critical configuration value mismatch between servers")
		}
	}
	files := map[string][]byte{}
	if err := to.json("/v1-k3s/server-bootstrap", &files, 15*time.Second); err != nil {
		fatal("starting kubernetes: preparing server: %v", err)
	}
	for name, content := range files {
		write(filepath.Join(tlsDir, name), content, 0o600)
	}
	return to
}

func writeTokens(config Config) {
	data, err := os.ReadFile(tlsDir + "/server-ca.crt")
	must(err)
	hash, err := caHash(data)
	must(err)
	secret := config.token()
	if secret == "" {
		fatal("the double wants a token: K3s would make one up")
	}
	if _, password, full := strings.Cut(secret, "::server:"); full {
		secret = password
	}
	write(serverDir+"/token", []byte("K10"+hash+"::server:"+secret+"\n"), 0o600)
	os.Remove(serverDir + "/node-token")
	must(os.Symlink(serverDir+"/token", serverDir+"/node-token"))
	if own := config.secret("agent-token"); own != "" {
		write(serverDir+"/agent-token", []byte("K10"+hash+"::node:"+own+"\n"), 0o600)
	}
}

func kubeconfig(url, authority, certificate, key string) []byte {
	encoded := func(path string) string {
		data, err := os.ReadFile(path)
		must(err)
		return base64.StdEncoding.EncodeToString(data)
	}
	return []byte(fmt.Sprintf(`apiVersion: v1
kind: Config
clusters:
- name: default
  cluster:
    server: %s
    certificate-authority-data: %s
users:
- name: default
  user:
    client-certificate-data: %s
    client-key-data: %s
contexts:
- name: default
  context:
    cluster: default
    user: default
current-context: default
`, url, encoded(authority), encoded(certificate), encoded(key)))
}

func writeKubeconfig(config Config) {
	mode, err := strconv.ParseUint(config.one("write-kubeconfig-mode"), 8, 32)
	if err != nil {
		fatal("write-kubeconfig-mode: %v", err)
	}
	content := kubeconfig("https://127.0.0.1:6443", tlsDir+"/server-ca.crt", tlsDir+"/client-admin.crt", tlsDir+"/client-admin.key")
	write(config.one("write-kubeconfig"), content, os.FileMode(mode))
}

func advertised(config Config) string {
	if address := config.one("advertise-address"); address != "" {
		return address
	}
	return config.ip()
}

func startControl(config Config) {
	advertise := advertised(config)
	os.Remove(serverDir + "/cred/.api")
	run("kube-apiserver", nil, append([]string{
		"--advertise-address=" + advertise, "--endpoint-reconciler-type=none", "--allow-privileged=true", "--anonymous-auth=false",
		"--api-audiences=https://kubernetes.default.svc." + config.one("cluster-domain") + ",k3s", "--authorization-mode=Node,RBAC",
		"--bind-address=127.0.0.1", "--secure-port=6444", "--client-ca-file=" + tlsDir + "/client-ca.crt", "--enable-admission-plugins=NodeRestriction",
		"--etcd-servers=" + ownEtcd, "--etcd-cafile=" + tlsDir + "/etcd/server-ca.crt", "--etcd-certfile=" + tlsDir + "/etcd/client.crt",
		"--etcd-keyfile=" + tlsDir + "/etcd/client.key", "--kubelet-client-certificate=" + tlsDir + "/client-kube-apiserver.crt",
		"--kubelet-client-key=" + tlsDir + "/client-kube-apiserver.key", "--kubelet-certificate-authority=" + tlsDir + "/server-ca.crt",
		"--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname", "--profiling=false",
		"--proxy-client-cert-file=" + tlsDir + "/client-auth-proxy.crt", "--proxy-client-key-file=" + tlsDir + "/client-auth-proxy.key",
		"--requestheader-allowed-names=system:auth-proxy", "--requestheader-client-ca-file=" + tlsDir + "/request-header-ca.crt",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-", "--requestheader-group-headers=X-Remote-Group",
		"--requestheader-username-headers=X-Remote-User", "--service-account-issuer=https://kubernetes.default.svc." + config.one("cluster-domain"),
		"--service-account-key-file=" + tlsDir + "/service.key", "--service-account-signing-key-file=" + tlsDir + "/service.key",
		"--service-cluster-ip-range=" + config.one("service-cidr"), "--service-node-port-range=" + config.one("service-node-port-range"),
		"--storage-backend=etcd3", "--tls-cert-file=" + tlsDir + "/serving-kube-apiserver.crt", "--tls-private-key-file=" + tlsDir + "/serving-kube-apiserver.key",
	}, flags(config.all("kube-apiserver-arg"))...)...)
	for name, key := range map[string]string{"controller": "client-controller", "scheduler": "client-scheduler"} {
		content := kubeconfig("https://127.0.0.1:6444", tlsDir+"/server-ca.crt", tlsDir+"/"+key+".crt", tlsDir+"/"+key+".key")
		write(serverDir+"/cred/"+name+".kubeconfig", content, 0o600)
	}
	go func() {
		awaitFile(serverDir + "/cred/.api") // both exit without an API
		run("kube-controller-manager", nil, append([]string{
			"--kubeconfig=" + serverDir + "/cred/controller.kubeconfig", "--authentication-kubeconfig=" + serverDir + "/cred/controller.kubeconfig",
			"--authorization-kubeconfig=" + serverDir + "/cred/controller.kubeconfig", "--allocate-node-cidrs=true", "--bind-address=127.0.0.1",
			"--cluster-cidr=" + config.one("cluster-cidr"), "--cluster-signing-cert-file=" + tlsDir + "/client-ca.crt",
			"--cluster-signing-key-file=" + tlsDir + "/client-ca.key", "--profiling=false", "--root-ca-file=" + tlsDir + "/server-ca.crt",
			"--service-account-private-key-file=" + tlsDir + "/service.key", "--use-service-account-credentials=true",
			"--service-cluster-ip-range=" + config.one("service-cidr"),
		}, flags(config.all("kube-controller-manager-arg"))...)...)
		run("kube-scheduler", nil, append([]string{
			"--kubeconfig=" + serverDir + "/cred/scheduler.kubeconfig", "--authentication-kubeconfig=" + serverDir + "/cred/scheduler.kubeconfig",
			"--authorization-kubeconfig=" + serverDir + "/cred/scheduler.kubeconfig", "--bind-address=127.0.0.1", "--profiling=false",
		}, flags(config.all("kube-scheduler-arg"))...)...)
	}()
}

func awaitFile(path string) {
	for !exists(path) {
		time.Sleep(200 * time.Millisecond)
	}
}

// deploy applies everything under manifests at the start, and what has changed later. A disabled file's
// objects are deleted, and the file; a skipped one stays as it is (pkg/deploy/controller.go).
func deploy(config Config) {
	folder, done := serverDir+"/manifests", map[string][32]byte{}
	name := regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`)
	for ; ; time.Sleep(deployTick) {
		files, _ := filepath.Glob(folder + "/*.*")
		for _, file := range files {
			content, err := os.ReadFile(file)
			ending := filepath.Ext(file)
			if err != nil || (ending != ".yaml" && ending != ".yml" && ending != ".json") {
				continue
			}
			component := strings.TrimSuffix(filepath.Base(file), ending)
			if contains(config.all("disable"), component) {
				words := []string{"delete", "--ignore-not-found", "--wait=false", "-f", "-"}
				if output, err := kubectl(content, words...); err != nil {
					warn("Failed to process config: failed to delete %s: %s", file, output)
					continue
				}
				os.Remove(file)
				continue
			}
			if exists(file + ".skip") {
				continue
			}
			if !name.MatchString(filepath.Base(file)) {
				warn("Failed to process config: %s is not a valid name", file)
				continue
			}
			sum := sha256.Sum256(content)
			if done[file] == sum {
				continue
			}
			words := []string{"apply", "--server-side", "--force-conflicts", "--field-manager=deploy@k3s", "-f", "-"}
			if output, err := kubectl(content, words...); err != nil {
				warn("Failed to process config %s: %s", file, output)
				continue
			}
			info("Applied manifest at %q", file)
			done[file] = sum
		}
	}
}

func kubectl(input []byte, words ...string) ([]byte, error) {
	path := filepath.Join(unpack(), "kubectl")
	command := exec.Command(path, append([]string{"--kubeconfig=" + kubeconfigFile}, words...)...)
	command.Stdin = bytes.NewReader(input)
	return command.CombinedOutput()
}

const roleBindings = `apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: system:k3s-controller}
rules:
- {apiGroups: [""], resources: [nodes], verbs: [get, list, watch, patch]}
- {apiGroups: [""], resources: [nodes/status], verbs: [patch]}
- {apiGroups: [""], resources: [pods, namespaces, endpoints], verbs: [get, list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: system:k3s-controller}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: system:k3s-controller}
subjects:
- {apiGroup: rbac.authorization.k8s.io, kind: User, name: system:k3s-controller}
`
