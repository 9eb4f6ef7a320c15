package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// All numbers here are K3s's (pkg/etcd/etcd.go).
const (
	joinTick    = time.Second      // pollJoin: between two tries
	joinTimeout = 20 * time.Second // join: for one try
	manageTick  = 15 * time.Second // manageTickerTime: learners are promoted, conditions set
	stallLimit  = 5 * time.Minute  // learnerMaxStallTime: a learner without progress is put out
	infoTimeout = 2 * time.Second  // infoHandler: for the list of members in /db/info
)

type member struct {
	Name       string   `json:"name"`
	PeerURLs   []string `json:"peerURLs"`
	ClientURLs []string `json:"clientURLs"`
	IsLearner  bool     `json:"isLearner"`
}

// errNoList is K3s's ErrMemberListFailed.
var errNoList = errors.New("failed to get etcd MemberList from server")

// joinEtcd tries for ever while another one is being taken in; what else goes wrong ends the process.
func joinEtcd(config Config, to *remote) {
	for ; ; time.Sleep(joinTick) {
		cluster, err := addMember(config, to)
		if err == nil {
			startEtcd(config, cluster, "existing")
			return
		}
		switch {
		case errors.Is(err, rpctypes.ErrTooManyLearners), errors.Is(err, rpctypes.ErrUnhealthy):
			info("Waiting for other members to finish joining etcd cluster: %v", err)
		case errors.Is(err, errNoList):
			info("Waiting to retrieve etcd cluster member list: %v", err)
		case errors.Is(err, context.DeadlineExceeded):
			info("Retrying etcd cluster join: MemberAdd request timed out")
		default:
			fatal("etcd cluster join failed: %v", err)
		}
	}
}

func addMember(config Config, to *remote) (string, error) {
	var there struct{ Members []member }
	if err := to.json("/db/info", &there, 15*time.Second); err != nil {
		return "", fmt.Errorf("%w: %v", errNoList, err)
	}
	client := etcdClient(votersOf(there.Members, config.ip())...)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), joinTimeout)
	defer cancel()
	own, peer := memberName(config), "https://"+config.ip()+":2380"
	add, cluster := true, []string{}
	for _, item := range there.Members {
		address, err := url.Parse(item.PeerURLs[0])
		if err != nil {
			return "", err
		}
		// One that has joined but not started has no name yet: at our address it is us.
		if item.Name == "" && address.Hostname() == config.ip() {
			item.Name = own
		}
		if item.Name == own && address.Hostname() == config.ip() {
			add = false
		}
		if item.Name != own && nodeOf(item.Name) == config.node() {
			os.Remove(etcdDir + "/name")
			return "", errors.New("duplicate node name found, please use a unique name for this node")
		}
		cluster = append(cluster, item.Name+"="+item.PeerURLs[0])
	}
	if add {
		info("Adding member %s=%s to etcd cluster %v", own, peer, cluster)
		if _, err := client.MemberAddAsLearner(ctx, []string{peer}); err != nil {
			if ctx.Err() != nil {
				return "", context.DeadlineExceeded
			}
			return "", err
		}
		cluster = append(cluster, own+"="+peer)
	}
	info("Starting etcd to join cluster with members %v", cluster)
	return strings.Join(cluster, ","), nil
}

// votersOf gives the addresses that a joiner may ask: neither learners' nor its own.
func votersOf(all []member, ip string) []string {
	found := []string{}
	for _, item := range all {
		for _, address := range item.ClientURLs {
			parsed, err := url.Parse(address)
			if err == nil && !item.IsLearner && parsed.Hostname() != ip {
				found = append(found, address)
			}
		}
	}
	return found
}

// nodeOf gives the node of a member: its name without the suffix that K3s adds.
func nodeOf(member string) string {
	if cut := strings.LastIndex(member, "-"); cut > 1 {
		return member[:cut]
	}
	return member
}

// progress is how far the learner that was looked at last has come: K3s keeps one, too.
type progress struct {
	id    uint64
	index uint64
	since time.Time
}

// manage looks at all members on each tick, at once after the start, and acts on etcd's leader only.
func manage(config Config, api *local) {
	client, seen := etcdClient(ownEtcd), &progress{}
	for ; ; time.Sleep(manageTick) {
		ctx, cancel := context.WithTimeout(context.Background(), manageTick)
		status, err := client.Status(ctx, ownEtcd)
		if err == nil && status.Leader == status.Header.MemberId {
			manageMembers(ctx, client, seen, api)
		}
		cancel()
	}
}

// manageMembers promotes and tells what each member is. A node's condition is what its member was
// *before* this tick's promotion: EtcdIsVoter comes true one whole tick later, as on K3s.
func manageMembers(ctx context.Context, client *clientv3.Client, seen *progress, api *local) {
	list, err := client.MemberList(ctx)
	if err != nil {
		return
	}
	members := map[string]condition{}
	for _, item := range list.Members {
		found := voter
		if item.IsLearner {
			found = learner
			track(ctx, client, seen, item)
		}
		if len(item.ClientURLs) == 0 {
			found = unhealthy("etcd member ClientURLs list is empty")
		} else if _, err := client.Status(ctx, item.ClientURLs[0]); err != nil {
			found = unhealthy("failed to check etcd member status: " + err.Error())
		}
		members[item.Name] = found
	}
	api.conditions(members)
}

// track promotes a learner if etcd lets it; one that has not come on for too long is put out.
func track(ctx context.Context, client *clientv3.Client, seen *progress, item *etcdserverpb.Member) {
	if _, err := client.MemberPromote(ctx, item.ID); err == nil {
		info("Promoted learner %s", item.Name)
		return
	}
	if seen.id != item.ID {
		*seen = progress{id: item.ID, since: time.Now()}
	}
	for _, address := range item.ClientURLs {
		status, err := client.Status(ctx, address)
		if err != nil {
			continue
		}
		if status.RaftAppliedIndex > seen.index {
			seen.index, seen.since = status.RaftAppliedIndex, time.Now()
		}
		break
	}
	if time.Since(seen.since) <= stallLimit {
		return
	}
	if _, err := client.MemberRemove(ctx, item.ID); err == nil {
		warn("Removed learner %s from etcd cluster", item.Name)
	}
}

// members is what /db/info says; without an answer of etcd there is none.
func members(client *clientv3.Client) ([]member, error) {
	ctx, cancel := context.WithTimeout(context.Background(), infoTimeout)
	defer cancel()
	found, err := client.MemberList(ctx)
	if err != nil {
		return nil, fmt.Errorf("failed to get etcd MemberList: %w", err)
	}
	all := []member{}
	for _, item := range found.Members {
		all = append(all, member{item.Name, item.PeerURLs, item.ClientURLs, item.IsLearner})
	}
	return all, nil
}
