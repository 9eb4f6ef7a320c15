package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"sigs.k8s.io/yaml"
)

const (
	etcdDir = serverDir + "/db/etcd"
	ownEtcd = "https://127.0.0.1:2379"
	// gateway is all that serves etcd's JSON gateway: with an address of its own for HTTP, the
	// client addresses serve gRPC only (K3s: pkg/etcd/etcd.go, listenClientHTTPURLs).
	gateway = "https://127.0.0.1:2382"
	// testTick is how often K3s asks whether its own member may vote (pkg/executor/embed/embed.go).
	testTick = 5 * time.Second
)

func initialised() bool { return exists(etcdDir + "/member/wal") }

// memberName is kept: a member that came back under another name would be another member.
func memberName(config Config) string {
	file := etcdDir + "/name"
	if data, err := os.ReadFile(file); err == nil {
		return string(data)
	}
	random := make([]byte, 4)
	rand.Read(random)
	name := config.node() + "-" + hex.EncodeToString(random)
	must(os.MkdirAll(etcdDir, 0o700))
	write(file, []byte(name), 0o600)
	return name
}

func etcdClient(endpoints ...string) *clientv3.Client {
	client, err := clientv3.New(clientv3.Config{
		Endpoints: endpoints, DialTimeout: 2 * time.Second, DialKeepAliveTime: 30 * time.Second, DialKeepAliveTimeout: 10 * time.Second,
		TLS: &tls.Config{RootCAs: pool(tlsDir + "/etcd/server-ca.crt"), Certificates: []tls.Certificate{pair("etcd/client")}},
	})
	must(err)
	return client
}

// startEtcd writes db/etcd/config as K3s does, etcd-arg on top (numbers stay numbers), and starts it.
func startEtcd(config Config, cluster, state string) {
	ip := config.ip()
	metrics := "http://127.0.0.1:2381"
	if config.is("etcd-expose-metrics") {
		metrics = "http://" + ip + ":2381," + metrics
	}
	security := func(prefix, authority string) map[string]any {
		return map[string]any{
			"cert-file": tlsDir + "/etcd/" + prefix + ".crt", "key-file": tlsDir + "/etcd/" + prefix + ".key",
			"client-cert-auth": true, "trusted-ca-file": tlsDir + "/etcd/" + authority + ".crt",
		}
	}
	values := map[string]any{
		"name": memberName(config), "data-dir": etcdDir, "heartbeat-interval": 500, "election-timeout": 5000, "logger": "zap", "log-level": "warn",
		"listen-client-urls": ownEtcd + ",https://" + ip + ":2379", "advertise-client-urls": "https://" + ip + ":2379",
		"listen-client-http-urls": gateway,
		// The same port twice, as K3s lists it; the options let both be bound (pkg/etcd/etcd.go, cluster).
		"listen-peer-urls": "https://127.0.0.1:2380,https://" + ip + ":2380",
		"socket-options":   map[string]bool{"reuse-port": true, "reuse-address": true},
		"snapshot-count":   10000, "initial-advertise-peer-urls": "https://" + ip + ":2380",
		"listen-metrics-urls": metrics, "client-transport-security": security("server-client", "server-ca"),
		"peer-transport-security": security("peer-server-client", "peer-ca"),
	}
	if cluster != "" {
		values["initial-cluster"], values["initial-cluster-state"] = cluster, state
	}
	for _, argument := range config.all("etcd-arg") {
		key, value, _ := strings.Cut(argument, "=")
		var typed any = value
		if err := yaml.Unmarshal([]byte(value), &typed); err != nil {
			typed = value
		}
		values[key] = typed
	}
	data, err := yaml.Marshal(values)
	must(err)
	write(etcdDir+"/config", data, 0o600)
	must(os.Chmod(etcdDir, 0o700))
	run("etcd", nil, "--config-file="+etcdDir+"/config")
}

// datastore brings this server's member up: new, from its own data, or as a learner of the cluster that `server` belongs to.
func datastore(config Config, to *remote) {
	switch {
	case initialised():
		startEtcd(config, "", "")
	case to == nil:
		startEtcd(config, memberName(config)+"=https://"+config.ip()+":2380", "new")
	default:
		joinEtcd(config, to)
	}
	own := etcdClient(ownEtcd)
	for ; ; time.Sleep(testTick) {
		problem := testMember(config, own)
		if problem == nil {
			info("Connection to etcd is ready")
			return
		}
		info("Failed to test etcd connection: %v", problem)
	}
}

// testMember asks what K3s asks before its API server starts (pkg/etcd/etcd.go, Test): a voter that
// knows a leader, of this cluster, under our name and address.
func testMember(config Config, client *clientv3.Client) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	status, err := client.Status(ctx, ownEtcd)
	if err != nil {
		return err
	}
	if status.IsLearner {
		return fmt.Errorf("this server has not yet been promoted from learner to voting member")
	}
	if status.Leader == 0 {
		return errors.New("etcdserver: no leader")
	}
	members, err := client.MemberList(ctx)
	if err != nil {
		return err
	}
	found := []string{}
	for _, item := range members.Members {
		if item.Name == memberName(config) && strings.Contains(strings.Join(item.PeerURLs, " "), "//"+config.ip()+":") {
			return nil
		}
		found = append(found, item.Name+"="+strings.Join(item.PeerURLs, ","))
	}
	return fmt.Errorf("this server is not a member of the etcd cluster. Found %v, expect: %s=%s", found, memberName(config), config.ip())
}

// snapshot is `k3s etcd-snapshot save|ls`, on a server that runs.
func snapshot(config Config, args []string) {
	folder := config.one("etcd-snapshot-dir")
	if folder == "" {
		folder = serverDir + "/db/snapshots"
	}
	if len(args) == 0 || (args[0] != "save" && args[0] != "ls") {
		fatal("the double knows etcd-snapshot save and ls only")
	}
	if args[0] == "ls" {
		entries, _ := os.ReadDir(folder)
		for _, entry := range entries {
			fmt.Println(entry.Name())
		}
		return
	}
	name := "on-demand"
	for index, word := range args {
		if word == "--name" && index+1 < len(args) {
			name = args[index+1]
		}
	}
	client := etcdClient(ownEtcd)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	reader, err := client.Snapshot(ctx)
	must(err)
	must(os.MkdirAll(folder, 0o700))
	path := filepath.Join(folder, fmt.Sprintf("%s-%s-%d", name, config.node(), time.Now().Unix()))
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	must(err)
	_, err = io.Copy(file, reader)
	must(err)
	must(file.Close())
	info("Snapshot %s saved.", filepath.Base(path))
}

func encode(value any) []byte {
	data, err := json.Marshal(value)
	must(err)
	return data
}
