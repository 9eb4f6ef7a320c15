package main

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	jitter "math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	agentDir         = dataDir + "/agent"
	containerdSocket = "/run/k3s/containerd/containerd.sock"
	passwordFile     = "/etc/rancher/node/password"
)

// startRuntime starts containerd and imports images in the background; the channel closes when both
// are done. A server does so while its etcd still joins (K3s: pkg/agent/run.go, startCRI).
func startRuntime(config Config) <-chan struct{} {
	bin, ready := unpack(), make(chan struct{})
	checkCgroups()
	go func() {
		startContainerd(config, bin)
		close(ready)
	}()
	return ready
}

// agent makes the node part, of an agent as of a server, and stays. `runtime` is the node's containerd,
// where it has been started already.
func agent(config Config, url string, onServer bool, runtime <-chan struct{}) {
	if !onServer {
		url = startBalancer(config, url)
	}
	credentials := awaitCredentials(config, url, onServer)
	for file, content := range credentials {
		write(filepath.Join(agentDir, file), content, 0o600)
	}
	for file, key := range map[string]string{"kubelet": "client-kubelet", "kubeproxy": "client-kube-proxy", "k3scontroller": "client-k3s-controller"} {
		content := kubeconfig(url, agentDir+"/server-ca.crt", agentDir+"/"+key+".crt", agentDir+"/"+key+".key")
		write(agentDir+"/"+file+".kubeconfig", content, 0o600)
	}
	if runtime == nil {
		runtime = startRuntime(config)
	}
	if !onServer {
		awaitAPI()
	}
	<-runtime // kubelet waits for containerd and for all imports (pkg/daemons/agent/agent.go)
	resolv := resolvConf(config)
	cluster := map[string]string{}
	must(json.Unmarshal(credentials["config.json"], &cluster))
	startKubelet(config, cluster, resolv)
	run("kube-proxy", nil, append([]string{
		"--kubeconfig=" + agentDir + "/kubeproxy.kubeconfig", "--proxy-mode=iptables", "--hostname-override=" + config.node(),
		"--cluster-cidr=" + cluster["cluster-cidr"], "--conntrack-max-per-core=0", "--conntrack-tcp-timeout-close-wait=0s",
		"--conntrack-tcp-timeout-established=0s", "--healthz-bind-address=127.0.0.1",
	}, flags(config.all("kube-proxy-arg"))...)...)
	startFlannel(config, cluster)
	if !onServer {
		notify("READY=1")
		info("k3s agent is up and running (%s)", words)
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	<-ended
	os.Exit(0) // children get their death signal; pods' shims stay, as with the real one
}

// checkCgroups refuses what pkg/cgroups refuses; cgroup v1 itself is kubelet's to refuse.
func checkCgroups() {
	data, err := os.ReadFile("/proc/self/cgroup")
	must(err)
	found := strings.Join(strings.Fields(strings.NewReplacer(":", " ", ",", " ").Replace(string(data))), " ")
	if controllers, err := os.ReadFile("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		for _, name := range []string{"cpu", "cpuset", "memory", "pids"} {
			if !contains(strings.Fields(string(controllers)), name) {
				fatal("failed to find %s cgroup (v2)", name)
			}
		}
		return
	}
	for _, name := range []string{"memory", "pids"} {
		if !contains(strings.Fields(found), name) {
			fatal("failed to find %s cgroup", name)
		}
	}
}

func nodePassword() string {
	if data, err := os.ReadFile(passwordFile); err == nil {
		return strings.TrimSpace(string(data))
	}
	random := make([]byte, 16)
	rand.Read(random)
	write(passwordFile, []byte(hex.EncodeToString(random)+"\n"), 0o600)
	return hex.EncodeToString(random)
}

// awaitAPI waits until an API server is ready, by way of the balancer: an agent's kubelet, kube-proxy
// and network start only then (pkg/executor/embed/embed.go; pkg/util/api.go).
func awaitAPI() {
	words := []string{"--kubeconfig=" + agentDir + "/kubelet.kubeconfig", "get", "--raw", "/readyz"}
	for begin := time.Now(); ; time.Sleep(apiTick) {
		command := exec.Command(filepath.Join(unpack(), "kubectl"), append(words, "--request-timeout=15s")...)
		output, err := command.CombinedOutput()
		if err == nil {
			return
		}
		if time.Since(begin) > apiLimit {
			fatal("failed to wait for API server to become ready: %s", output)
		}
	}
}

// awaitCredentials asks until a server answers; a refusal is told again and again, as the real one does.
func awaitCredentials(config Config, url string, onServer bool) map[string][]byte {
	header := http.Header{"K3s-Node-Name": {config.node()}, "K3s-Node-Ip": {config.ip()}, "K3s-Node-Password": {nodePassword()}}
	user, token := "node", config.token()
	if onServer {
		user = "server"
	}
	for {
		to, err := dial(url, token, user)
		if err != nil {
			// Whatever it is, a token of another cluster too: each two seconds, for ever
			// (pkg/agent/run.go, createProxyAndValidateToken).
			warn("Failed to validate connection to cluster at %s: %v", url, err)
			time.Sleep(2 * time.Second)
			continue
		}
		settings, err := to.get("/v1-k3s/config", 15*time.Second, nil)
		var data []byte
		if err == nil {
			data, err = to.get("/v1-k3s/node", 15*time.Second, header)
		}
		if err == nil {
			files := map[string][]byte{}
			must(json.Unmarshal(data, &files))
			files["config.json"] = settings
			return files
		}
		info("Waiting to retrieve agent configuration; server is not ready: %v", err)
		// Five seconds, and up to as much again at random (pkg/agent/config/config.go, Get).
		time.Sleep(5*time.Second + jitter.N(5*time.Second))
	}
}

func startContainerd(config Config, bin string) {
	if name := config.one("snapshotter"); name != "" && name != "overlayfs" {
		fatal("the double knows the snapshotter overlayfs only, not %s", name)
	}
	root := agentDir + "/containerd"
	must(os.MkdirAll(root, 0o711))
	testOverlay(root)
	systemd := "false"
	if systemdCgroups() {
		systemd = "true"
	}
	write(agentDir+"/etc/containerd/config.toml", []byte(fmt.Sprintf(`version = 3
root = %q
state = "/run/k3s/containerd"
imports = ["%s/etc/containerd/config-v3.toml.d/*.toml"]
[grpc]
  address = %q
[plugins.'io.containerd.grpc.v1.cri']
  stream_server_address = "127.0.0.1"
  stream_server_port = "10010"
[plugins.'io.containerd.cri.v1.runtime']
  enable_unprivileged_ports = true
  enable_unprivileged_icmp = true
[plugins.'io.containerd.cri.v1.images']
  snapshotter = "overlayfs"
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = %q
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = [%q]
  conf_dir = "%s/etc/cni/net.d"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  SystemdCgroup = %s
`, root, agentDir, containerdSocket, canonical(config.one("pause-image")), bin, agentDir, systemd)), 0o600)
	run("containerd", nil, "-c", agentDir+"/etc/containerd/config.toml")
	ctr := func(words ...string) *exec.Cmd {
		return exec.Command(filepath.Join(bin, "ctr"), append([]string{"--address", containerdSocket, "-n", "k8s.io"}, words...)...)
	}
	for tries := 0; ctr("version").Run() != nil; tries++ {
		if tries > 300 {
			fatal("containerd does not answer")
		}
		time.Sleep(200 * time.Millisecond)
	}
	importImages(ctr)
}

// canonical gives an image's whole name: containerd knows no other.
func canonical(name string) string {
	if first, _, found := strings.Cut(name, "/"); found && strings.ContainsAny(first, ".:") {
		return name
	}
	return "docker.io/" + name
}

func testOverlay(root string) {
	base, err := os.MkdirTemp(root, "overlay-test")
	must(err)
	defer os.RemoveAll(base)
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		must(os.Mkdir(filepath.Join(base, name), 0o755))
	}
	options := fmt.Sprintf("lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work", base, base, base)
	if err := syscall.Mount("overlay", base+"/merged", "overlay", 0, options); err != nil {
		fatal(`"overlayfs" snapshotter cannot be enabled for %q, try using "fuse-overlayfs" or "native": %v`, root, err)
	}
	must(syscall.Unmount(base+"/merged", 0))
}

// systemdCgroups is K3s's rule: a unit of systemd started us and cpuset is there.
func systemdCgroups() bool {
	data, _ := os.ReadFile("/proc/self/cgroup")
	controllers, _ := os.ReadFile("/sys/fs/cgroup/cgroup.controllers")
	return os.Getenv("INVOCATION_ID") != "" && (strings.Contains(string(data), "cpuset") || strings.Contains(string(controllers), "cpuset"))
}

// resolvConf gives the file for pods: the one that was named, unchecked; else one without loopback servers, 8.8.8.8 if there is none.
func resolvConf(config Config) string {
	if file := config.one("resolv-conf"); file != "" {
		return file
	}
	for _, file := range []string{"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"} {
		data, err := os.ReadFile(file)
		good := err == nil && strings.Contains(string(data), "nameserver")
		for _, line := range strings.Split(string(data), "\n") {
			words := strings.Fields(line)
			if len(words) > 1 && words[0] == "nameserver" && (net.ParseIP(words[1]) == nil || net.ParseIP(words[1]).IsLoopback()) {
				good = false
			}
		}
		if good {
			return file
		}
	}
	warn("Host resolv.conf includes loopback or multicast nameservers - kubelet will use autogenerated resolv.conf with nameserver 8.8.8.8")
	write(agentDir+"/etc/resolv.conf", []byte("nameserver 8.8.8.8\n"), 0o644)
	return agentDir + "/etc/resolv.conf"
}

func startKubelet(config Config, cluster map[string]string, resolv string) {
	driver := map[bool]string{true: "systemd", false: "cgroupfs"}[systemdCgroups()]
	settings := map[string]any{
		"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
		"authentication": map[string]any{"anonymous": map[string]any{"enabled": false}, "webhook": map[string]any{"enabled": true},
			"x509": map[string]any{"clientCAFile": agentDir + "/client-ca.crt"}},
		"authorization": map[string]any{"mode": "Webhook"}, "cgroupDriver": driver, "clusterDNS": strings.Split(cluster["cluster-dns"], ","),
		"clusterDomain": cluster["cluster-domain"], "containerRuntimeEndpoint": "unix://" + containerdSocket, "failSwapOn": false,
		"evictionHard":           map[string]string{"imagefs.available": "5%", "nodefs.available": "5%"},
		"evictionMinimumReclaim": map[string]string{"imagefs.available": "10%", "nodefs.available": "10%"},
		"healthzBindAddress":     "127.0.0.1", "readOnlyPort": 0, "resolvConf": resolv, "staticPodPath": agentDir + "/pod-manifests",
		"tlsCertFile": agentDir + "/serving-kubelet.crt", "tlsPrivateKeyFile": agentDir + "/serving-kubelet.key",
	}
	write(agentDir+"/etc/kubelet.conf.d/00-k3s-defaults.conf", encode(settings), 0o600)
	must(os.MkdirAll(agentDir+"/pod-manifests", 0o700))
	arguments := []string{
		"--config-dir=" + agentDir + "/etc/kubelet.conf.d", "--hostname-override=" + config.node(),
		"--kubeconfig=" + agentDir + "/kubelet.kubeconfig", "--node-ip=" + strings.Join(config.all("node-ip"), ","),
	}
	if taints := config.all("node-taint"); len(taints) > 0 {
		arguments = append(arguments, "--register-with-taints="+strings.Join(taints, ","))
	}
	if labels := config.all("node-label"); len(labels) > 0 {
		arguments = append(arguments, "--node-labels="+strings.Join(labels, ","))
	}
	run("kubelet", nil, append(arguments, flags(config.all("kubelet-arg"))...)...)
}

// startFlannel waits for the node's pod range, runs flannel and writes its bridge, then for the node to be registered.
func startFlannel(config Config, cluster map[string]string) {
	kubectl := func(words ...string) string {
		command := exec.Command(filepath.Join(unpack(), "kubectl"), append([]string{"--kubeconfig=" + agentDir + "/k3scontroller.kubeconfig", "--request-timeout=5s"}, words...)...)
		output, _ := command.Output()
		return strings.TrimSpace(string(output))
	}
	for kubectl("get", "node", config.node(), "-o", "jsonpath={.spec.podCIDR}") == "" {
		time.Sleep(time.Second)
	}
	backend := map[string]string{"Type": cluster["flannel-backend"]}
	write(agentDir+"/etc/flannel/net-conf.json", encode(map[string]any{"Network": cluster["cluster-cidr"], "Backend": backend}), 0o644)
	os.Remove("/run/flannel/subnet.env")
	arguments := []string{"--kube-subnet-mgr", "--kubeconfig-file=" + agentDir + "/k3scontroller.kubeconfig", "--ip-masq", "--net-config-path=" + agentDir + "/etc/flannel/net-conf.json"}
	if name := config.one("flannel-iface"); name != "" {
		arguments = append(arguments, "--iface="+name)
	}
	run("flannel", []string{"NODE_NAME=" + config.node()}, arguments...)
	awaitFile("/run/flannel/subnet.env")
	values := map[string]string{}
	data, err := os.ReadFile("/run/flannel/subnet.env")
	must(err)
	for _, line := range strings.Split(string(data), "\n") {
		key, value, _ := strings.Cut(line, "=")
		values[key] = value
	}
	_, subnet, err := net.ParseCIDR(values["FLANNEL_SUBNET"]) // flannel writes its own address, the bridge wants the network's
	must(err)
	mtu, _ := strconv.Atoi(values["FLANNEL_MTU"])
	write(agentDir+"/etc/cni/net.d/10-flannel.conflist", encode(map[string]any{"name": "cbr0", "cniVersion": "1.0.0", "plugins": []any{
		map[string]any{"type": "bridge", "bridge": "cni0", "isGateway": true, "isDefaultGateway": true, "hairpinMode": true, "forceAddress": true, "mtu": mtu,
			"ipam": map[string]any{"type": "host-local", "subnet": subnet.String(), "routes": []any{map[string]string{"dst": values["FLANNEL_NETWORK"]}}}},
		map[string]any{"type": "portmap", "capabilities": map[string]bool{"portMappings": true}},
	}}), 0o644)
}
