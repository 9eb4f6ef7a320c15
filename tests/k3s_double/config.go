package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

type kind int

const (
	text kind = iota
	flag
	list
	number
	span
)

// The documented flags by role (K3s's pkg/cli/cmds/server.go and agent.go, 1.36). Kept apart from halab's own table on purpose.
var both = map[string]kind{
	"node-name": text, "with-node-id": flag, "node-ip": list, "node-external-ip": list, "node-label": list, "node-taint": list,
	"kubelet-arg": list, "kube-proxy-arg": list, "snapshotter": text, "pause-image": text, "private-registry": text,
	"flannel-iface": text, "flannel-conf": text, "resolv-conf": text, "protect-kernel-defaults": flag, "selinux": flag,
	"lb-server-port": number, "data-dir": text, "debug": flag, "prefer-bundled-bin": flag, "default-runtime": text,
	"disable-default-registry-endpoint": flag, "bind-address": text, "token": text, "token-file": text, "server": text,
	"vmodule": text, "v": number, "log": text, "alsologtostderr": flag, "image-credential-provider-bin-dir": text,
	"image-credential-provider-config": text, "container-runtime-endpoint": text, "airgap-extra-registry": list,
}

var serverOnly = map[string]kind{
	"cluster-init": flag, "agent-token": text, "agent-token-file": text, "tls-san": list, "tls-san-security": flag,
	"advertise-address": text, "advertise-port": number, "https-listen-port": number, "cluster-cidr": list, "service-cidr": list,
	"cluster-dns": list, "cluster-domain": text, "service-node-port-range": text, "flannel-backend": text, "disable": list,
	"disable-cloud-controller": flag, "disable-kube-proxy": flag, "disable-network-policy": flag, "disable-helm-controller": flag,
	"disable-scheduler": flag, "kube-apiserver-arg": list, "kube-controller-manager-arg": list, "kube-scheduler-arg": list,
	"kube-cloud-controller-manager-arg": list, "etcd-arg": list, "helm-controller-arg": list, "etcd-expose-metrics": flag,
	"etcd-disable-snapshots": flag, "etcd-snapshot-schedule-cron": text, "etcd-snapshot-retention": number, "etcd-snapshot-dir": text,
	"etcd-snapshot-name": text, "etcd-snapshot-compress": flag, "etcd-snapshot-reconcile-interval": span, "write-kubeconfig": text,
	"write-kubeconfig-mode": text, "write-kubeconfig-group": text, "embedded-registry": flag, "supervisor-metrics": flag,
	"secrets-encryption": flag, "egress-selector-mode": text, "servicelb-namespace": text, "system-default-registry": text,
	"default-local-storage-path": text, "datastore-endpoint": text, "cluster-reset": flag, "cluster-reset-restore-path": text,
	"rootless": flag, "flannel-ipv6-masq": flag, "flannel-external-ip": flag, "disable-apiserver": flag, "disable-etcd": flag,
	"disable-controller-manager": flag,
}

// critical must be equal on all servers (pkg/daemons/config/types.go, CriticalControlArgs).
var critical = []string{
	"cluster-dns", "cluster-cidr", "service-cidr", "cluster-domain", "disable-cloud-controller", "disable-helm-controller",
	"disable-network-policy", "secrets-encryption", "embedded-registry", "supervisor-metrics", "flannel-backend", "flannel-ipv6-masq",
	"flannel-external-ip", "egress-selector-mode",
}

var defaults = map[string]string{
	"cluster-dns": "10.43.0.10", "cluster-cidr": "10.42.0.0/16", "service-cidr": "10.43.0.0/16", "cluster-domain": "cluster.local",
	"flannel-backend": "vxlan", "egress-selector-mode": "agent", "write-kubeconfig": "/etc/rancher/k3s/k3s.yaml",
	"write-kubeconfig-mode": "0600", "lb-server-port": "6444", "pause-image": "rancher/mirrored-pause:3.10.2",
	"service-node-port-range": "30000-32767",
}

// Config is what the files, the environment and the command line say together.
type Config struct {
	role   string
	values map[string][]string
}

func (c Config) all(key string) []string {
	if values := c.values[key]; len(values) > 0 {
		return values
	}
	if value, ok := defaults[key]; ok {
		return []string{value}
	}
	return nil
}

// one gives the last value: that is what a flag given twice means.
func (c Config) one(key string) string {
	values := c.all(key)
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

func (c Config) is(key string) bool { value, _ := strconv.ParseBool(c.one(key)); return value }

func (c Config) secret(key string) string {
	if file := c.one(key + "-file"); file != "" && c.one(key) == "" {
		content, err := os.ReadFile(file)
		must(err)
		return strings.TrimSpace(string(content))
	}
	return c.one(key)
}

func (c Config) token() string { return c.secret("token") }

func (c Config) node() string {
	name := c.one("node-name")
	if name == "" {
		name, _ = os.Hostname()
	}
	return strings.ToLower(name)
}

// ip is the first node-ip, else the address of the interface with the default route, as K3s chooses.
func (c Config) ip() string {
	if address := c.all("node-ip"); len(address) > 0 {
		return address[0]
	}
	connection, err := net.Dial("udp4", "198.51.100.1:9") // sends nothing: it asks the routing table
	if err != nil {
		fatal("no node-ip and no default route: %v", err)
	}
	defer connection.Close()
	return connection.LocalAddr().(*net.UDPAddr).IP.String()
}

func (c Config) critical() map[string]string {
	found := map[string]string{}
	for _, key := range critical {
		found[key] = strings.Join(c.all(key), ",")
		if found[key] == "false" {
			found[key] = ""
		}
	}
	return found
}

// load merges config.yaml, config.yaml.d/* in name order, the environment and the command line, and checks every key and value.
func load(role string, args []string) Config {
	config := Config{role: role, values: map[string][]string{}}
	main := "/etc/rancher/k3s/config.yaml"
	if path := os.Getenv("K3S_CONFIG_FILE"); path != "" {
		main = path
	}
	files := []string{main}
	more, _ := filepath.Glob(main + ".d/*.y*ml")
	sort.Strings(more)
	for _, file := range more {
		if ending := filepath.Ext(file); ending == ".yaml" || ending == ".yml" {
			files = append(files, file)
		}
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if os.IsNotExist(err) && file == main {
			continue
		}
		must(err)
		merge(config, file, content)
	}
	for name, key := range map[string]string{"K3S_TOKEN": "token", "K3S_TOKEN_FILE": "token-file", "K3S_URL": "server", "K3S_NODE_NAME": "node-name", "K3S_AGENT_TOKEN": "agent-token"} {
		if value := os.Getenv(name); value != "" && config.values[key] == nil {
			config.values[key] = []string{value}
		}
	}
	commandLine(config, args)
	check(config)
	return config
}

func merge(config Config, file string, content []byte) {
	values := map[string]any{}
	if err := yaml.UnmarshalStrict(content, &values); err != nil {
		fatal("failed to parse %s: %v", file, err)
	}
	for key, value := range values {
		name := strings.TrimSuffix(key, "+")
		items := scalars(file, name, value)
		if strings.HasSuffix(key, "+") {
			items = append(append([]string{}, config.values[name]...), items...)
		}
		config.values[name] = items
	}
}

func scalars(file, key string, value any) []string {
	switch found := value.(type) {
	case nil:
		return []string{""}
	case map[string]any:
		fatal("%s: %s: a mapping is no value for a flag", file, key)
	case []any:
		items := []string{}
		for _, item := range found {
			items = append(items, scalars(file, key, item)...)
		}
		return items
	case float64:
		return []string{strconv.FormatFloat(found, 'f', -1, 64)}
	}
	return []string{fmt.Sprint(value)}
}

func commandLine(config Config, args []string) {
	for index := 0; index < len(args); index++ {
		key, value, given := strings.Cut(strings.TrimLeft(args[index], "-"), "=")
		what, known := kindOf(config.role, key)
		if !known || !strings.HasPrefix(args[index], "-") {
			fatal("Incorrect Usage: flag provided but not defined: -%s", key)
		}
		if !given && what == flag {
			value = "true"
		} else if !given {
			if index++; index >= len(args) {
				fatal("flag needs an argument: -%s", key)
			}
			value = args[index]
		}
		if what == list {
			config.values[key] = append(config.values[key], value)
		} else {
			config.values[key] = []string{value}
		}
	}
}

func kindOf(role, key string) (kind, bool) {
	if what, ok := both[key]; ok {
		return what, true
	}
	what, ok := serverOnly[key]
	return what, ok && role == "server"
}

// check treats unknown keys as each role does: a server warns, an agent ends.
func check(config Config) {
	keys := []string{}
	for key := range config.values {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	for _, key := range keys {
		what, known := kindOf(config.role, key)
		if !known && config.role == "server" {
			warn("Unknown flag --%s found in config.yaml, skipping", key)
			delete(config.values, key)
			continue
		}
		if !known {
			fatal("Incorrect Usage: flag provided but not defined: -%s", key)
		}
		for _, value := range config.values[key] {
			if problem := wrong(what, value); problem != nil {
				fatal("invalid value %q for flag -%s: %v", value, key, problem)
			}
		}
	}
	if url := config.one("server"); url != "" && !strings.HasPrefix(url, "https://") {
		fatal("only https:// URLs are supported, invalid scheme: %s", url)
	}
}

func wrong(what kind, value string) error {
	var problem error
	switch what {
	case flag:
		_, problem = strconv.ParseBool(value)
	case number:
		_, problem = strconv.Atoi(value)
	case span:
		_, problem = time.ParseDuration(value)
	}
	return problem
}
