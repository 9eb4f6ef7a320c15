package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"sigs.k8s.io/yaml"
)

const (
	etcdDir    = serverDir + "/db/etcd"
	ownEtcd    = "https://127.0.0.1:2379"
	manageTick = 15 * time.Second // pkg/etcd: learners are promoted and conditions set on this tick, by etcd's leader
	stallLimit = 5 * time.Minute
)

type member struct {
	Name       string   `json:"name"`
	PeerURLs   []string `json:"peerURLs"`
	ClientURLs []string `json:"clientURLs"`
}

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
		"listen-peer-urls": "https://" + ip + ":2380", "initial-advertise-peer-urls": "https://" + ip + ":2380",
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
	for last := ""; ; time.Sleep(500 * time.Millisecond) {
		problem := testMember(config, own)
		if problem == nil {
			return
		}
		if problem.Error() != last {
			last = problem.Error()
			info("Failed to test etcd connection: %v", problem)
		}
	}
}

// testMember asks what K3s asks before its API server starts: a voter, of this cluster, under our name and address.
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

func joinEtcd(config Config, to *remote) {
	for {
		cluster, err := addMember(config, to)
		if err == nil {
			startEtcd(config, cluster, "existing")
			return
		}
		text := err.Error()
		if strings.Contains(text, "duplicate node name") {
			os.Remove(etcdDir + "/name")
			fatal("ETCD join failed: %v", err)
		}
		// Those that pass: another one is being taken in, or the cluster is busy with it.
		if !strings.Contains(text, "too many learner") && !strings.Contains(text, "unhealthy") && !strings.Contains(text, "deadline") {
			fatal("ETCD join failed: %v", err)
		}
		info("Waiting for other members to finish joining etcd cluster: %v", err)
		time.Sleep(time.Second)
	}
}

func addMember(config Config, to *remote) (string, error) {
	var there struct{ Members []member }
	if err := to.json("/db/info", &there, 15*time.Second); err != nil {
		return "", err
	}
	urls := []string{}
	for _, item := range there.Members {
		urls = append(urls, item.ClientURLs...)
	}
	client := etcdClient(urls...)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	members, err := client.MemberList(ctx)
	if err != nil {
		return "", err
	}
	own, add, cluster := memberName(config), true, []string{}
	for _, item := range members.Members {
		address, _ := url.Parse(item.PeerURLs[0])
		if item.Name == "" && address.Hostname() == config.ip() {
			item.Name = own
		}
		if item.Name == own && address.Hostname() == config.ip() {
			add = false
		}
		if cut := strings.LastIndex(item.Name, "-"); item.Name != own && cut > 0 && item.Name[:cut] == config.node() {
			return "", fmt.Errorf("duplicate node name found, please use a unique name for this node")
		}
		cluster = append(cluster, item.Name+"="+item.PeerURLs[0])
	}
	peer := "https://" + config.ip() + ":2380"
	if add {
		info("Adding member %s=%s to etcd cluster %v", own, peer, cluster)
		if _, err := client.MemberAddAsLearner(ctx, []string{peer}); err != nil {
			return "", err
		}
		cluster = append(cluster, own+"="+peer)
	}
	info("Starting etcd for cluster %v", cluster)
	return strings.Join(cluster, ","), nil
}

// manage promotes learners and tells each node's condition, every 15 s, on etcd's leader only.
func manage(config Config, api *local) {
	client := etcdClient(ownEtcd)
	progress := map[uint64]struct {
		index uint64
		since time.Time
	}{}
	for ; ; time.Sleep(manageTick) {
		ctx, cancel := context.WithTimeout(context.Background(), manageTick)
		status, err := client.Status(ctx, ownEtcd)
		if err != nil || status.Leader != status.Header.MemberId {
			cancel()
			continue
		}
		members, err := client.MemberList(ctx)
		if err != nil {
			cancel()
			continue
		}
		for _, item := range members.Members {
			reason, voter := "MemberNotLearner", true
			if item.IsLearner {
				reason, voter = "MemberIsLearner", false
				if _, err := client.MemberPromote(ctx, item.ID); err == nil {
					info("Promoted learner %s", item.Name)
					reason, voter = "MemberNotLearner", true
				} else if seen := progress[item.ID]; len(item.ClientURLs) > 0 {
					if found, err := client.Status(ctx, item.ClientURLs[0]); err == nil && found.RaftAppliedIndex > seen.index {
						seen.index, seen.since = found.RaftAppliedIndex, time.Now()
						progress[item.ID] = seen
					} else if !seen.since.IsZero() && time.Since(seen.since) > stallLimit {
						client.MemberRemove(ctx, item.ID)
					}
				}
			}
			api.condition(item.Name, voter, reason)
		}
		cancel()
	}
}

func members(client *clientv3.Client, config Config) []member {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	found, err := client.MemberList(ctx)
	if err != nil {
		ip := config.ip()
		return []member{{memberName(config), []string{"https://" + ip + ":2380"}, []string{"https://" + ip + ":2379"}}}
	}
	all := []member{}
	for _, item := range found.Members {
		all = append(all, member{item.Name, item.PeerURLs, item.ClientURLs})
	}
	return all
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
