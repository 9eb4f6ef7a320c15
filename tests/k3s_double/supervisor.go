package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
)

// --- the client side: what a joining server and an agent ask ---

// remote is a supervisor, trusted by its authority.
type remote struct {
	url, user, password string
	authority           []byte
	client              *http.Client
}

// dial takes a token in its short form (the authority is not checked: a warning) or as K10<hash>::<user>:<password>.
func dial(server, token, user string) (*remote, error) {
	hash, password := "", token
	if rest, full := strings.CutPrefix(token, "K10"); full {
		var credentials string
		var ok bool
		if hash, credentials, ok = strings.Cut(rest, "::"); !ok || len(hash) != 64 {
			return nil, fmt.Errorf("invalid token format")
		}
		if name, secret, named := strings.Cut(credentials, ":"); named {
			user, password = name, secret
		} else {
			password = credentials
		}
	} else {
		warn("Cluster CA certificate is not trusted by the host CA bundle, but the token does not include a CA hash. Use the full token from the server's node-token file to enable Cluster CA validation.")
	}
	insecure := &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	response, err := insecure.Get(server + "/cacerts")
	if err != nil {
		return nil, fmt.Errorf("failed to get CA certs: %w", err)
	}
	defer response.Body.Close()
	authority, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("failed to get CA certs: %s", response.Status)
	}
	found, err := caHash(authority)
	if err != nil {
		return nil, err
	}
	if hash != "" && hash != found {
		return nil, fmt.Errorf("token CA hash does not match the Cluster CA certificate hash: %s != %s", hash, found)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}
	return &remote{server, user, password, authority, &http.Client{Transport: transport}}, nil
}

func (r *remote) get(path string, timeout time.Duration, header http.Header) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+path, nil)
	if err != nil {
		return nil, err
	}
	for key, values := range header {
		request.Header[key] = values
	}
	request.SetBasicAuth(r.user, r.password)
	response, err := r.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s%s: %s: %s", r.url, path, response.Status, strings.TrimSpace(string(data)))
	}
	return data, err
}

func (r *remote) json(path string, target any, timeout time.Duration) error {
	data, err := r.get(path, timeout, nil)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, target)
}

// --- the server side ---

type supervisor struct {
	config    Config
	api       *local
	datastore atomic.Bool // etcd can be asked
	serving   atomic.Bool // the API server answers, ready or not
	ready     atomic.Bool // the API server is ready
	proxy     http.Handler
	clients   *x509.CertPool
}

func newSupervisor(config Config, api *local) *supervisor {
	target, _ := url.Parse("https://127.0.0.1:6444")
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.FlushInterval = -1 // watches
	proxy.Transport = &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: pool(tlsDir + "/server-ca.crt"), Certificates: []tls.Certificate{pair("client-auth-proxy")}, ServerName: "127.0.0.1"},
		MaxIdleConnsPerHost: 200,
	}
	proxy.ErrorHandler = func(writer http.ResponseWriter, _ *http.Request, err error) {
		http.Error(writer, err.Error(), http.StatusBadGateway)
	}
	return &supervisor{config: config, api: api, proxy: proxy, clients: pool(tlsDir + "/client-ca.crt")}
}

// listen opens 6443 at once: K3s accepts connections, and says 503, long before it is ready.
func (s *supervisor) listen() {
	address := s.config.one("bind-address") + ":6443"
	server := &http.Server{Addr: address, Handler: s, TLSConfig: &tls.Config{
		Certificates: []tls.Certificate{pair("serving-kube-apiserver")}, ClientAuth: tls.RequestClientCert,
	}}
	go func() { must(server.ListenAndServeTLS("", "")) }()
}

func (s *supervisor) ServeHTTP(writer http.ResponseWriter, request *http.Request) {
	path := request.URL.Path
	switch {
	case path == "/ping":
		fmt.Fprint(writer, "pong")
	case path == "/cacerts":
		http.ServeFile(writer, request, tlsDir+"/server-ca.crt")
	case strings.HasPrefix(path, "/v1-k3s/") || path == "/db/info":
		s.internal(writer, request)
	case !s.serving.Load():
		// Before there is an API server in the process: 503, whoever asks (pkg/server/handlers/handlers.go,
		// APIServer). From then on it answers itself, with 401 where nobody says who they are: it has
		// anonymous-auth=false, and so /readyz without a certificate tells nothing.
		http.Error(writer, "apiserver not ready", http.StatusServiceUnavailable)
	default:
		s.forward(writer, request)
	}
}

// forward hands a request on to the API server; who asks is told by the headers that it trusts from the holder of the
// request-header authority's certificate. A bearer token goes through as it is.
func (s *supervisor) forward(writer http.ResponseWriter, request *http.Request) {
	for key := range request.Header {
		if strings.HasPrefix(key, "X-Remote-") {
			request.Header.Del(key)
		}
	}
	if who := s.peer(request); who != nil {
		request.Header.Set("X-Remote-User", who.Subject.CommonName)
		for _, group := range who.Subject.Organization {
			request.Header.Add("X-Remote-Group", group)
		}
	}
	s.proxy.ServeHTTP(writer, request)
}

func (s *supervisor) peer(request *http.Request) *x509.Certificate {
	if request.TLS == nil || len(request.TLS.PeerCertificates) == 0 {
		return nil
	}
	who := request.TLS.PeerCertificates[0]
	if _, err := who.Verify(x509.VerifyOptions{Roots: s.clients, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		return nil
	}
	return who
}

// allowed tells whether the caller is a server, or an agent where that is enough. Agents' token opens no server's door.
func (s *supervisor) allowed(request *http.Request, agents bool) bool {
	user, password, _ := request.BasicAuth()
	if user == "server" && password == s.config.token() {
		return true
	}
	node := s.config.secret("agent-token")
	if node == "" {
		node = s.config.token()
	}
	return agents && user == "node" && password == node
}

func (s *supervisor) internal(writer http.ResponseWriter, request *http.Request) {
	path := request.URL.Path
	agents := path != "/v1-k3s/server-bootstrap" && path != "/db/info"
	if !s.allowed(request, agents) {
		http.Error(writer, "Unauthorized", http.StatusUnauthorized)
		return
	}
	if !s.datastore.Load() || (strings.HasPrefix(path, "/v1-k3s/node") && !s.ready.Load()) {
		http.Error(writer, "starting", http.StatusServiceUnavailable)
		return
	}
	switch path {
	case "/v1-k3s/config":
		writer.Write(encode(s.agentConfig()))
	case "/v1-k3s/server-bootstrap":
		files := map[string][]byte{}
		for _, name := range bootstrapFiles() {
			content, err := os.ReadFile(filepath.Join(tlsDir, name))
			must(err)
			files[name] = content
		}
		writer.Write(encode(files))
	case "/db/info":
		client := etcdClient(ownEtcd)
		defer client.Close()
		found, err := members(client)
		if err != nil {
			http.Error(writer, err.Error(), http.StatusInternalServerError)
			return
		}
		writer.Write(encode(map[string]any{"members": found}))
	case "/v1-k3s/apiservers":
		writer.Write(encode(s.api.apiServers()))
	case "/v1-k3s/node":
		s.node(writer, request)
	default:
		http.NotFound(writer, request)
	}
}

// agentConfig is what agents, and joiners for comparison, are told.
func (s *supervisor) agentConfig() map[string]string {
	return s.config.critical()
}

// node hands out a node's certificates; the first password that a node name came with is the only one that is taken later.
func (s *supervisor) node(writer http.ResponseWriter, request *http.Request) {
	name, ip, password := request.Header.Get("k3s-Node-Name"), request.Header.Get("k3s-Node-IP"), request.Header.Get("k3s-Node-Password")
	if name == "" || password == "" {
		http.Error(writer, "node name and password are wanted", http.StatusBadRequest)
		return
	}
	if err := s.api.checkPassword(name, password); err != nil {
		http.Error(writer, err.Error(), http.StatusForbidden)
		return
	}
	files := map[string][]byte{}
	add := func(file, authority, common string, organisations, names []string) {
		certificate, key := issue(authority, common, organisations, names)
		files[file+".crt"], files[file+".key"] = certificate, key
	}
	add("client-kubelet", "client-ca", "system:node:"+name, []string{"system:nodes"}, nil)
	add("serving-kubelet", "server-ca", name, nil, []string{name, "localhost", "127.0.0.1", ip})
	add("client-kube-proxy", "client-ca", "system:kube-proxy", nil, nil)
	add("client-k3s-controller", "client-ca", "system:k3s-controller", nil, nil)
	for _, file := range []string{"client-ca.crt", "server-ca.crt"} {
		content, err := os.ReadFile(filepath.Join(tlsDir, file))
		must(err)
		files[file] = content
	}
	writer.Write(encode(files))
}
