package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
)

const (
	defaultInterval = 0.02
	defaultTimeout  = 0.8
)

// Config is what is asked: questions sample, clients write and read, watches listen. All times are seconds.
type Config struct {
	Duration  float64             `json:"duration"` // 0: until SIGTERM
	Output    string              `json:"output"`   // "": standard output
	Attached  bool                `json:"attached"` // end when standard input does: whoever started us is gone then
	Identity  map[string]Identity `json:"identities"`
	Questions []Question          `json:"questions"`
	Clients   []Client            `json:"clients"`
}

// Identity is whom to trust and who to be, all PEM.
type Identity struct {
	CA          string `json:"ca"`
	Certificate string `json:"certificate"`
	Key         string `json:"key"`
	Unverified  bool   `json:"unverified"` // any certificate is taken: a user's service, at an address that none names
}

// Question is asked every Interval seconds; an answer later than Timeout is none.
type Question struct {
	Name       string   `json:"name"`
	Kind       string   `json:"kind"`      // https http tcp grpc dns arp etcd nodes endpoints pods
	Addresses  []string `json:"addresses"` // the next one is tried after a failure
	Path       string   `json:"path"`
	Identity   string   `json:"identity"`
	Unverified bool     `json:"unverified"` // https: any certificate is taken
	Connection string   `json:"connection"` // new, kept
	Codes      []int    `json:"codes"`
	Interface  string   `json:"interface"`
	Query      string   `json:"query"` // dns: the name, arp: the address
	Namespace  string   `json:"namespace"`
	Service    string   `json:"service"` // endpoints: the Service; grpc: the name that is asked about
	Interval   float64  `json:"interval"`
	Timeout    float64  `json:"timeout"`
}

// Client works on ConfigMaps of a namespace: create, register, watch or list (once, at the end). One of kind keep works on a user's
// service: it writes by Method, Scheme and Path, and at the end it reads.
type Client struct {
	Name       string   `json:"name"`
	Kind       string   `json:"kind"`
	Addresses  []string `json:"addresses"`
	Identity   string   `json:"identity"`
	Namespace  string   `json:"namespace"`
	Label      string   `json:"label"` // key=value, on all that is made and watched
	Prefix     string   `json:"prefix"`
	Connection string   `json:"connection"` // new, kept
	Probe      string   `json:"probe"`      // create: each is a sample of this probe, too; watch: its name in the history
	Keys       []string `json:"keys"`
	Interval   float64  `json:"interval"`
	Timeout    float64  `json:"timeout"`
	Silence    float64  `json:"silence"` // watch: seconds without a word after which the connection is made anew
	Scheme     string   `json:"scheme"`  // keep: http, https
	Method     string   `json:"method"`
	Path       string   `json:"path"` // keep: {key} stands for the key
	Read       Source   `json:"read"`
}

// Source is where a keep client reads back. Without {key} in its path, one answer has all keys.
type Source struct {
	Scheme  string `json:"scheme"`
	Address string `json:"address"`
	Path    string `json:"path"`
}

func readConfig(path string) (*Config, error) {
	var text []byte
	var err error
	if path == "-" {
		text, err = io.ReadAll(os.Stdin)
	} else {
		text, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, err
	}
	config := &Config{}
	if err := json.Unmarshal(text, config); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return config, config.complete()
}

func (c *Config) complete() error {
	names := map[string]bool{}
	for i := range c.Questions {
		q := &c.Questions[i]
		q.Interval, q.Timeout = either(q.Interval, defaultInterval), either(q.Timeout, defaultTimeout)
		if q.Name == "" || names[q.Name] {
			return fmt.Errorf("question %d has no name of its own (%q)", i+1, q.Name)
		}
		names[q.Name] = true
		if q.Kind != "arp" && len(q.Addresses) == 0 {
			return fmt.Errorf("question %s has no address", q.Name)
		}
	}
	for i := range c.Clients {
		k := &c.Clients[i]
		k.Interval, k.Timeout, k.Silence = either(k.Interval, 0.1), either(k.Timeout, defaultTimeout), either(k.Silence, 2)
		if k.Name == "" || names[k.Name] || len(k.Addresses) == 0 {
			return fmt.Errorf("client %d has no name of its own, or no address (%q)", i+1, k.Name)
		}
		names[k.Name] = true
	}
	if len(names) == 0 {
		return fmt.Errorf("no questions given")
	}
	return nil
}

func either(value, otherwise float64) float64 {
	if value > 0 {
		return value
	}
	return otherwise
}
