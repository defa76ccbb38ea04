package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"os/signal"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	root "github.com/vggo/vggo"
	"github.com/vggo/vggo/internal/kernel"
	"github.com/vggo/vggo/page/lesson/fashion"
	"github.com/vggo/vggo/serve"
)

// serveOptions are the flags of `vggo serve`.
type serveOptions struct {
	models, weights, labels []string   // [NAME=]VALUE
	parts                   []string   // of weights, likewise
	inputs, sigmoid         []string   // likewise
	indexes                 []string   // of pictures, likewise
	prepared                [][]string // likewise, of each of the preprocessFlags
	each                    modelFlags

	name      string // of the one model
	addr      string
	grpcAddr  string
	debugAddr string
	hosts     []string
	trainPage bool
	maxWait   time.Duration
	queue     int
	timeout   time.Duration
	maxBody   string
}

func newServeCommand() *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Answer requests over HTTP and gRPC",
		Long: `Serve networks over HTTP: a page that looks inside them (/), the Open Inference Protocol
for programs (below /v2), pictures for people (POST /v1/classify). GET /openapi.yaml
describes it all, /metrics tells Prometheus, /v2/health/ready is for probes.
--grpc-addr has the protocol over gRPC as well, within the same bounds.

Requests that come together are computed together, up to --batch images; an answer is
the same to the bit whatever it was computed with. Work beyond --queue is refused with
429 and a time to try again. SIGTERM and Ctrl-C answer what was accepted and stop.

It listens on this machine alone unless --addr says otherwise, and has no passwords:
put what has them in front of it. Called by a name other than localhost it wants
--allow-host.

Without --weights it serves the embedded network, which knows CIFAR-10's ten classes.
Several models have names: --weights big=vgg16.safetensors --weights small=tiny.onnx.
--model, --labels, --preprocess and its parts then name theirs likewise.`,
		Example: `  vggo serve
  vggo serve --weights vgg16
  vggo serve --weights tinyvgg.safetensors --labels labels.txt --addr 127.0.0.1:9000
  vggo serve --weights a=vgg16.safetensors --weights b=vgg19.safetensors --batch 16
  curl --data-binary @photo.jpg localhost:8080/v1/classify`,
		Args: noArguments("--weights"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), cmd.ErrOrStderr(), cmd.Flags().Changed("train-page"))
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&o.weights, "weights", "w", nil, "`[NAME=]FILE` of weights (safetensors, PyTorch, ONNX, Keras or "+
		"NumPy), or the name of pulled ones; again for each model (default: the embedded network)")
	f.StringArrayVarP(&o.models, "model", "m", nil, "`[NAME=]NETWORK`: a built-in, a description or a compact string, as "+
		"in vggo arch (default: what the weights tell)")
	f.StringArrayVarP(&o.labels, "labels", "l", nil, "`[NAME=]FILE` of class names, for weights that have none, in any "+
		"form that vggo classify takes")
	f.BoolVar(&o.each.relabel, "relabel", false, "take the names of --labels although the weights have others")
	f.StringArrayVar(&o.inputs, "input", nil, "`[NAME=]HxWxC` of the network's pictures, as 224x224x3, where weights and "+
		"--model leave it open")
	f.StringArrayVar(&o.sigmoid, "sigmoid", nil, "`[NAME=]true`: the outputs are probabilities by a sigmoid, each by "+
		"itself; one output is that of the second of two classes")
	f.Lookup("sigmoid").NoOptDefVal = "true"
	flags := o.each.preprocessFlags.list()
	o.prepared = make([][]string, len(flags))
	for i, each := range flags {
		f.StringArrayVar(&o.prepared[i], each.name, nil, "[NAME=]VALUE: "+each.help)
	}
	addAlias(cmd)
	f.StringArrayVar(&o.parts, "weights-part", nil, "`[NAME=]PART` of a file with several networks' weights, by its key, "+
		"such as model_ema (default: the plain ones)")
	f.StringArrayVar(&o.indexes, "index", nil, "`[NAME=]FILE` of vggo similar index, made with this model: POST "+
		"/v1/similar finds pictures in it, and tells their paths")
	f.BoolVar(&o.each.random, "random-weights", false, "weights drawn at random for each --model instead of files: a "+
		"trial run, whose answers mean nothing")
	f.IntVar(&o.each.threads, "threads", 0, "threads to compute with (default: one for each processor)")
	f.IntVar(&o.each.batch, "batch", 8, "most images computed at once")
	f.BoolVar(&o.each.low, "low-memory", false, "take little memory beside the files of weights, and more time")
	o.each.planFlags.add(f)
	o.each.halfFlag.add(f)
	f.StringVar(&o.name, "model-name", "", "`NAME` of the model in URLs, where it is the only one (default: its "+
		"network's)")
	f.StringVar(&o.addr, "addr", "127.0.0.1:8080", "`HOST:PORT` to listen on")
	f.StringVar(&o.grpcAddr, "grpc-addr", "", "`HOST:PORT` to listen on for the Open Inference Protocol over gRPC, "+
		"without TLS (default: none)")
	f.StringArrayVar(&o.hosts, "allow-host", nil, "`NAME` that the server may be called by, beside localhost and IP "+
		"addresses; * is any")
	f.BoolVar(&o.trainPage, "train-page", false, "let the page train a small network, which computes on this machine "+
		"while somebody watches and nothing else is asked (default: where --addr is of this machine alone and no "+
		"--allow-host is given)")
	f.StringVar(&o.debugAddr, "debug-addr", "", "`HOST:PORT` of this machine for Go's profiles, /debug/pprof/ "+
		"(default: none)")
	f.DurationVar(&o.maxWait, "max-wait", 2*time.Millisecond, "longest that a request waits for others that are on their "+
		"way, to be computed with them")
	f.IntVar(&o.queue, "queue", 64, "images, of the costliest model, that may wait or be computed at once")
	f.DurationVar(&o.timeout, "timeout", 30*time.Second, "longest that a request may take")
	f.StringVar(&o.maxBody, "max-body", "32MiB", "largest request")
	f.IntVar(&o.each.maxPixels, "max-pixels", 25_000_000, "largest picture, height times width")
	cmd.MarkFlagsMutuallyExclusive("low-memory", "memory")
	_ = cmd.RegisterFlagCompletionFunc("model", completeNetworks)
	return cmd
}

// run serves. told says that --train-page was given, for or against.
func (o *serveOptions) run(ctx context.Context, stderr io.Writer, told bool) error {
	log := serveLog(stderr)
	sources, indexes, err := o.sources(log)
	if err != nil {
		return err
	}
	if o.maxWait == 0 {
		o.maxWait = -1 // 0 is the default
	}
	config := serve.Config{
		Models: sources, Indexes: indexes, Timeout: o.timeout, MaxWait: o.maxWait, Queue: o.queue,
		MaxPixels: o.each.maxPixels, Hosts: o.hosts,
		Log: log,
	}
	if config.MaxBody, err = parseBytes(o.maxBody); err != nil {
		return usageError{fmt.Errorf("--max-body: %w", err)}
	}
	b := currentBuild()
	set, err := kernel.Active()
	if err != nil {
		return err
	}
	b.Kernels = set.Name
	config.Version, config.Build = b.Version, b
	var server *serve.Server
	var listener net.Listener
	config.Loaded = func() {
		if terminalOf(stderr) != nil {
			fmt.Fprintf(stderr, "Open %s (Ctrl-C stops)\n", pageAddress(listener.Addr()))
		}
		if os.Getenv("GOMEMLIMIT") == "" {
			debug.SetMemoryLimit(server.MemoryLimit())
		}
	}

	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if o.debugAddr != "" {
		end, err := serveProfiles(o.debugAddr, config.Log)
		if err != nil {
			return err
		}
		defer end()
	}
	if listener, err = listen("addr", o.addr); err != nil {
		return err
	}
	if o.trainPage || !told && loopback(listener.Addr()) && len(o.hosts) == 0 {
		config.Training = fashion.Data
	}
	server = serve.New(config)
	config.Log.Info("listening", "address", listener.Addr().String(), "page", pageAddress(listener.Addr()), "version",
		b.Version, "kernels", b.Kernels)
	warnOfOthers(config.Log, listener)
	var calls net.Listener
	if o.grpcAddr != "" {
		if calls, err = listen("grpc-addr", o.grpcAddr); err != nil {
			return errors.Join(err, listener.Close())
		}
		config.Log.Info("listening for gRPC", "address", calls.Addr().String())
		warnOfOthers(config.Log, calls)
	}
	return hintOther(server.Run(ctx, listener, calls), "")
}

// warnOfOthers says where not this machine alone reaches a server.
func warnOfOthers(log *slog.Logger, l net.Listener) {
	if !loopback(l.Addr()) {
		log.Warn("whoever reaches this address can use it: there are no passwords", "address", l.Addr().String())
	}
}

// pageAddress is where a browser on this machine finds the page.
func pageAddress(listening net.Addr) string {
	tcp, ok := listening.(*net.TCPAddr)
	if !ok {
		return "http://" + listening.String()
	}
	host := tcp.IP.String()
	if tcp.IP.IsUnspecified() || tcp.IP.Equal(net.IPv4(127, 0, 0, 1)) || tcp.IP.Equal(net.IPv6loopback) {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, strconv.Itoa(tcp.Port))
}

// listen listens at what a flag says, and explains what it cannot.
func listen(flag, addr string) (net.Listener, error) {
	listener, err := net.Listen("tcp", addr)
	if err == nil {
		return listener, nil
	}
	host, port, notSplit := net.SplitHostPort(addr)
	here := func(port string) string {
		remedy := fmt.Sprintf("--%s 127.0.0.1:%s for this machine alone", flag, port)
		if flag != "debug-addr" { // profiles are of this machine alone
			remedy += ", or --" + flag + " :" + port + " for all that reach it"
		}
		return remedy
	}
	fault := func(remedy, why string, of ...any) error {
		return hint(fmt.Errorf("--%s %s: %s", flag, addr, fmt.Sprintf(why, of...)), remedy)
	}
	var unknown *net.DNSError
	switch {
	case notSplit != nil && isPort(addr):
		return nil, usageError{fault(here(addr), "a port alone")}
	case notSplit != nil:
		return nil, usageError{fault(here("8080")+"; an IPv6 address stands in brackets: [::1]:8080", "want HOST:PORT")}
	case errors.Is(err, addressTaken):
		return nil, fault(fmt.Sprintf("--%s %s takes any free port", flag, net.JoinHostPort(host, "0")),
			"something else listens there")
	case errors.Is(err, addressNotOurs):
		return nil, fault(here(port), "no address of this machine")
	case errors.Is(err, portForbidden):
		return nil, fault(here("8080"), "only the system's own may listen there")
	case !isPort(port):
		return nil, usageError{fault(fmt.Sprintf("ports are numbers from 1 to %d; 0 takes any free one", maxPort),
			"%q is no port", port)}
	case errors.As(err, &unknown):
		return nil, fault(here(port), "no host is called %q", host)
	}
	return nil, fmt.Errorf("--%s: %w", flag, err)
}

// maxPort is the largest port of TCP.
const maxPort = 1<<16 - 1

func isPort(text string) bool {
	n, err := strconv.Atoi(text)
	return err == nil && 0 <= n && n <= maxPort
}

// serveLog is for people at a terminal, for programs elsewhere.
func serveLog(w io.Writer) *slog.Logger {
	if terminalOf(w) != nil {
		return slog.New(slog.NewTextHandler(w, nil))
	}
	return slog.New(slog.NewJSONHandler(w, nil))
}

// modelNamed is a NAME= before a flag's value. A file called so is written ./a=b.
var modelNamed = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._-]{0,63})=(.*)$`)

// perModel is a flag's values by their models' names; "" without.
func perModel(flag string, values []string, order *[]string) (map[string]string, error) {
	found := map[string]string{}
	for _, value := range values {
		name := ""
		if parts := modelNamed.FindStringSubmatch(value); parts != nil {
			name, value = parts[1], parts[2]
		}
		if _, ok := found[name]; ok {
			what := "two models without names"
			if name != "" {
				what = "twice for " + name
			}
			return nil, usageError{hint(fmt.Errorf("--%s is given %s", flag, what),
				"several models have names: --weights big=vgg16.safetensors --weights small=tiny.safetensors")}
		}
		found[name] = value
		if !slices.Contains(*order, name) {
			*order = append(*order, name)
		}
	}
	return found, nil
}

// sources are the models that the flags name, and the files of their indexes.
func (o *serveOptions) sources(log *slog.Logger) (sources []serve.Source, indexes map[string]string, err error) {
	var names []string // in the order of the command line; weights come first
	values := map[string]map[string]string{}
	own := 0 // names of models; all else must be of them
	type flag struct {
		name   string
		values []string
	}
	all := []flag{{"weights", o.weights}, {"model", o.models}, {"labels", o.labels}, {"weights-part", o.parts},
		{"input", o.inputs}, {"sigmoid", o.sigmoid}, {"index", o.indexes}}
	for i, each := range o.each.preprocessFlags.list() {
		all = append(all, flag{each.name, o.prepared[i]})
	}
	for _, f := range all {
		var err error
		if values[f.name], err = perModel(f.name, f.values, &names); err != nil {
			return nil, nil, err
		}
		if f.name == "model" {
			own = len(names)
		}
	}
	switch {
	case own == 0:
		names = []string{""}
	case len(names) > own:
		flag := ""
		for name, of := range values {
			if _, ok := of[names[own]]; ok && (flag == "" || name < flag) {
				flag = name
			}
		}
		return nil, nil, usageError{fmt.Errorf("--%s is for a model %q that neither --weights nor --model names", flag,
			names[own])}
	case o.name != "" && (own > 1 || names[0] != ""):
		return nil, nil, usageError{hint(fmt.Errorf("--model-name %s is for one model without a name", o.name),
			"--weights NAME=FILE names one of several")}
	case own > 1 && slices.Contains(names, ""):
		return nil, nil, usageError{hint(errors.New("some models have names and some have not"),
			"--weights NAME=FILE, --model NAME=NETWORK")}
	case o.queue < 1:
		return nil, nil, usageError{fmt.Errorf("--queue must be at least 1, not %d", o.queue)}
	case o.each.batch < 1:
		return nil, nil, usageError{fmt.Errorf("--batch must be at least 1, not %d", o.each.batch)}
	case o.timeout <= 0 || o.maxWait < 0 || o.each.maxPixels < 1:
		return nil, nil, usageError{errors.New("--timeout and --max-pixels must be more than 0, --max-wait no less")}
	}
	indexes = map[string]string{}
	for _, name := range names {
		flags := o.each
		flags.seed = 1
		flags.model, flags.weights, flags.labels = values["model"][name], values["weights"][name], values["labels"][name]
		flags.part = values["weights-part"][name]
		flags.input = values["input"][name]
		if text, ok := values["sigmoid"][name]; ok {
			var err error
			if flags.sigmoid, err = strconv.ParseBool(text); err != nil {
				return nil, nil, usageError{hint(fmt.Errorf("--sigmoid=%s is no truth value", text),
					"--sigmoid, or for one of several models --sigmoid=NAME=true")}
			}
		}
		for _, each := range flags.preprocessFlags.list() {
			*each.value = values[each.name][name]
		}
		if err := flags.check(); err != nil {
			if name != "" {
				err = fmt.Errorf("%s: %w", name, err)
			}
			return nil, nil, err
		}
		indexes[cmp.Or(name, o.name)] = values["index"][name]
		sources = append(sources, serve.Source{Name: cmp.Or(name, o.name), Open: func() (*root.Model, error) {
			m, err := flags.openAnswering(flags.batch)
			if err == nil {
				logWeights(log, m, flags.part)
				if m.ClassesGuess != "" {
					log.Warn("labels: "+m.ClassesGuess, "weights", m.Origin)
				}
			}
			return m, err
		}})
	}
	return sources, indexes, nil
}

// logWeights is tellModel for the server's log.
func logWeights(log *slog.Logger, m *root.Model, asked string) {
	var text strings.Builder
	tellModel(&text, m, asked)
	for line := range strings.Lines(text.String()) {
		log.Warn(strings.TrimPrefix(strings.TrimSpace(line), "vggo: "))
	}
}

func loopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// serveProfiles serves Go's profiles, which tell much and cost much, to this machine alone.
func serveProfiles(addr string, log *slog.Logger) (end func(), err error) {
	listener, err := listen("debug-addr", addr)
	if err != nil {
		return nil, err
	}
	if !loopback(listener.Addr()) {
		return nil, errors.Join(usageError{hint(fmt.Errorf("--debug-addr %s is not of this machine alone", addr),
			"--debug-addr 127.0.0.1:6060")}, listener.Close())
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	server := &http.Server{Handler: onlyLocal(mux), ReadHeaderTimeout: 5 * time.Second}
	go server.Serve(listener)
	log.Info("profiles", "address", "http://"+listener.Addr().String()+"/debug/pprof/")
	return func() { server.Close() }, nil
}

// onlyLocal refuses calls by a name, which a web page elsewhere might have sent here.
func onlyLocal(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil || host != "localhost" && net.ParseIP(strings.Trim(host, "[]")) == nil {
			http.Error(w, "call it by 127.0.0.1", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}
