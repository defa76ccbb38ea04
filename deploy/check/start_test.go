package check

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"
)

// served is a container that serves, and what else of its pod matters to it.
type served struct {
	document
	corev1.Container
	grace    int64                // seconds from SIGTERM's announcement to SIGKILL
	extra    []corev1.Container   // the same with other ports and probes, of KServe's services
	metrics  []string             // that an autoscaler asks for
	services []corev1.ServicePort // that lead there
	mounts   []corev1.VolumeMount // beside its own
}

// servers are all containers below deploy that serve.
func servers(t *testing.T) (all []*served) {
	t.Helper()
	documents := manifests(t)
	decode := func(d document, to any) {
		if err := yaml.Unmarshal(d.text, to); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range documents {
		switch d.kind {
		case "apps/v1 Deployment":
			var of appsv1.Deployment
			decode(d, &of)
			s := &served{document: d, Container: of.Spec.Template.Spec.Containers[0],
				grace: *of.Spec.Template.Spec.TerminationGracePeriodSeconds}
			for _, other := range documents {
				switch other.kind {
				case "autoscaling/v2 HorizontalPodAutoscaler":
					var scaler autoscalingv2.HorizontalPodAutoscaler
					decode(other, &scaler)
					if scaler.Spec.ScaleTargetRef.Name != of.Name || scaler.Spec.ScaleTargetRef.Kind != "Deployment" {
						t.Errorf("%s: the autoscaler is of %v", other.path, scaler.Spec.ScaleTargetRef)
					}
					for _, m := range scaler.Spec.Metrics {
						s.metrics = append(s.metrics, m.Pods.Metric.Name)
					}
				case "v1 Service":
					var service corev1.Service
					decode(other, &service)
					for key, value := range service.Spec.Selector {
						if of.Spec.Template.Labels[key] != value || of.Spec.Selector.MatchLabels[key] != value {
							t.Errorf("%s: Service %s selects %s=%s", other.path, service.Name, key, value)
						}
					}
					s.services = append(s.services, service.Spec.Ports...)
				}
			}
			all = append(all, s)
		case "serving.kserve.io/v1alpha1 ServingRuntime":
			var of struct {
				Spec struct{ Containers []corev1.Container }
			}
			decode(d, &of)
			// KServe's storage-initializer writes to a volume that it mounts there, and Kubernetes waits 30 s.
			s := &served{document: d, Container: of.Spec.Containers[0], grace: 30,
				mounts: []corev1.VolumeMount{{Name: "kserve-provision-location", MountPath: "/mnt/models"}}}
			for _, other := range documents {
				if other.kind != "serving.kserve.io/v1beta1 InferenceService" {
					continue
				}
				var service struct {
					Spec struct {
						Predictor struct{ Model corev1.Container }
					}
				}
				decode(other, &service)
				s.extra = append(s.extra, service.Spec.Predictor.Model)
			}
			all = append(all, s)
		}
	}
	if len(all) < 2 {
		t.Fatalf("%d containers serve", len(all))
	}
	return all
}

const tinyWeights = "../../weights/testdata/tinyvgg-fashionmnist.safetensors"

// vggo builds the program.
func vggo(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "vggo")
	build := exec.Command("go", "build", "-o", path, "./cmd/vggo")
	build.Dir, build.Env = "../..", append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

// listening is an argument that says where to listen.
var listening = regexp.MustCompile(`^(--(?:grpc-)?addr=)0\.0\.0\.0:([0-9]+)$`)

// process is a container's, with each of its ports at another one of this machine.
type process struct {
	*exec.Cmd
	log   string         // a file
	ports map[int]string // addresses, by the container's ports
}

// start starts what a container starts: its command, arguments and environment, its mounts below a folder.
func (s *served) start(t *testing.T, program, mounted string, more ...string) *process {
	t.Helper()
	if len(s.Command) != 1 || s.Command[0] != "/vggo" {
		t.Fatalf("%s starts %v, and the image holds /vggo", s.path, s.Command)
	}
	p := &process{ports: map[int]string{}, log: filepath.Join(t.TempDir(), "log")}
	var args []string
	for _, arg := range s.Args {
		if parts := listening.FindStringSubmatch(arg); parts != nil {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			l.Close()
			port, _ := strconv.Atoi(parts[2])
			p.ports[port] = l.Addr().String()
			arg = parts[1] + l.Addr().String()
		}
		for _, m := range append(s.mounts, s.VolumeMounts...) {
			if name, value, ok := strings.Cut(arg, "="); ok && (value == m.MountPath ||
				strings.HasPrefix(value, m.MountPath+"/")) {
				arg = name + "=" + filepath.Join(mounted, strings.TrimPrefix(value, m.MountPath))
			}
		}
		args = append(args, strings.ReplaceAll(arg, "{{.Name}}", "from-kserve"))
	}
	p.Cmd = exec.Command(program, append(args, more...)...)
	// Go makes as many threads as the limit of processors has.
	p.Env = append(os.Environ(), fmt.Sprintf("GOMAXPROCS=%d", s.Resources.Limits.Cpu().Value()))
	for _, e := range s.Env {
		p.Env = append(p.Env, e.Name+"="+e.Value)
	}
	log, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	p.Stdout, p.Stderr = log, log
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Process.Kill() })
	return p
}

// address is where a port of the container is reached, by its number or name.
func (p *process) address(t *testing.T, named []corev1.ContainerPort, port intstr.IntOrString) string {
	t.Helper()
	number := port.IntValue()
	if port.Type == intstr.String {
		number = 0
		for _, each := range named {
			if each.Name == port.StrVal {
				number = int(each.ContainerPort)
			}
		}
	}
	address, ok := p.ports[number]
	if !ok {
		t.Fatalf("nothing listens at port %s", &port)
	}
	return address
}

// ask asks as the kubelet does.
func (p *process) ask(t *testing.T, named []corev1.ContainerPort, probe *corev1.Probe) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	switch {
	case probe.HTTPGet != nil:
		address := p.address(t, named, probe.HTTPGet.Port)
		r, err := http.NewRequestWithContext(ctx, "GET", "http://"+address+probe.HTTPGet.Path, nil)
		if err != nil {
			return err
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return err
		}
		answer.Body.Close()
		if answer.StatusCode < 200 || answer.StatusCode >= 400 {
			return fmt.Errorf("%s: %s", probe.HTTPGet.Path, answer.Status)
		}
	case probe.GRPC != nil:
		conn, err := grpc.NewClient(p.address(t, named, intstr.FromInt32(probe.GRPC.Port)),
			grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return err
		}
		defer conn.Close()
		in := &healthpb.HealthCheckRequest{}
		if probe.GRPC.Service != nil {
			in.Service = *probe.GRPC.Service
		}
		answer, err := healthpb.NewHealthClient(conn).Check(ctx, in)
		if err != nil {
			return err
		}
		if answer.Status != healthpb.HealthCheckResponse_SERVING {
			return fmt.Errorf("the service is %v", answer.Status)
		}
	default:
		return errors.New("a probe of another kind")
	}
	return nil
}

// probes are all that a container has.
func probes(c corev1.Container) map[string]*corev1.Probe {
	all := map[string]*corev1.Probe{"startup": c.StartupProbe, "readiness": c.ReadinessProbe, "liveness": c.LivenessProbe}
	for name, p := range all {
		if p == nil {
			delete(all, name)
		}
	}
	return all
}

// ready waits until all probes are content.
func (p *process) ready(t *testing.T, c corev1.Container) {
	t.Helper()
	for name, probe := range probes(c) {
		for {
			err := p.ask(t, c.Ports, probe)
			if err == nil {
				break
			}
			if p.Process.Signal(syscall.Signal(0)) != nil || t.Context().Err() != nil {
				log, _ := os.ReadFile(p.log)
				t.Fatalf("%s: %v; the log:\n%s", name, err, log)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

func get(t *testing.T, address, path string) string {
	t.Helper()
	answer, err := http.Get("http://" + address + path)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestServers starts what each manifest starts, with the weights as a file and in a folder, and asks each probe; what
// others ask of it is there too.
func TestServers(t *testing.T) {
	if testing.Short() || runtime.GOOS == "windows" {
		t.Skip("the program is built, for the image's system")
	}
	program := vggo(t)
	file, err := os.ReadFile(tinyWeights)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range servers(t) {
		for _, as := range []string{"a folder", "a file"} {
			t.Run(filepath.Base(filepath.Dir(s.path))+"/"+as, func(t *testing.T) {
				mounted := filepath.Join(t.TempDir(), "mounted")
				at := mounted
				if as == "a folder" {
					if err := os.Mkdir(mounted, 0o755); err != nil {
						t.Fatal(err)
					}
					at = filepath.Join(mounted, "tinyvgg.safetensors")
				}
				if err := os.WriteFile(at, file, 0o644); err != nil {
					t.Fatal(err)
				}
				p := s.start(t, program, mounted)
				if len(probes(s.Container)) < 2 {
					t.Errorf("%s has the probes %v", s.path, probes(s.Container))
				}
				p.ready(t, s.Container)
				for _, port := range s.Ports {
					if p.ports[int(port.ContainerPort)] == "" {
						t.Errorf("nothing listens at %d", port.ContainerPort)
					}
				}
				for _, other := range s.extra { // KServe puts a service's own values in place of the runtime's
					for _, port := range other.Ports {
						if p.ports[int(port.ContainerPort)] == "" {
							t.Errorf("nothing listens at %d", port.ContainerPort)
						}
					}
					p.ready(t, other)
				}
				for _, port := range s.services {
					p.address(t, s.Ports, port.TargetPort)
				}
				web := p.ports[8080]
				metrics := get(t, web, "/metrics")
				for _, name := range s.metrics {
					if !strings.Contains(metrics, "\n"+name+" ") {
						t.Errorf("there is no metric %s", name)
					}
				}
				name := "vgg"
				if s.mounts != nil {
					name = "from-kserve"
				}
				if text := get(t, web, "/v2/models/"+name); !strings.Contains(text, `"platform":"vggo_tinyvgg"`) {
					t.Errorf("the model is not called %s: %s", name, text)
				}
				if err := p.Process.Signal(syscall.SIGTERM); err != nil {
					t.Fatal(err)
				}
				if err := p.Wait(); err != nil {
					t.Errorf("SIGTERM: %v", err)
				}
			})
		}
		s.checkGrace(t)
	}
}

// checkGrace: SIGKILL comes after the longest request has been answered.
func (s *served) checkGrace(t *testing.T) {
	t.Helper()
	longest := 30 * time.Second // --timeout
	for _, arg := range s.Args {
		if text, ok := strings.CutPrefix(arg, "--timeout="); ok {
			var err error
			if longest, err = time.ParseDuration(text); err != nil {
				t.Error(err)
			}
		}
	}
	longest += time.Second + 2*5*time.Second // serve.Config's LameDuck, and its Stall as Run waits
	if s.Lifecycle != nil && s.Lifecycle.PreStop != nil && s.Lifecycle.PreStop.Sleep != nil {
		longest += time.Duration(s.Lifecycle.PreStop.Sleep.Seconds) * time.Second
	}
	if time.Duration(s.grace)*time.Second < longest {
		t.Errorf("%s: it is killed after %d s, and may need %v", s.path, s.grace, longest)
	}
}

// TestLimits: what a container may take is no less than what the server says that it takes, with VGG-16, and little
// more.
func TestLimits(t *testing.T) {
	if testing.Short() || runtime.GOOS == "windows" {
		t.Skip("half a gigabyte of random weights")
	}
	program := vggo(t)
	for _, s := range servers(t) {
		s.Args = slices.DeleteFunc(slices.Clone(s.Args), func(arg string) bool {
			return strings.HasPrefix(arg, "--weights=")
		})
		p := s.start(t, program, "", "--random-weights", "--model=vgg16") // whose parameters count as the file's pages would
		p.ready(t, s.Container)
		var state struct {
			Memory int64 `json:"memory_limit_bytes"`
		}
		if err := json.Unmarshal([]byte(get(t, p.ports[8080], "/healthz")), &state); err != nil {
			t.Fatal(err)
		}
		limit := s.Resources.Limits.Memory().Value()
		if limit < state.Memory || limit > state.Memory+state.Memory/3 || s.Resources.Requests.Memory().Value() != limit {
			t.Errorf("%s: a limit of %d, a request of %s, and the server takes up to %d", s.path, limit,
				s.Resources.Requests.Memory(), state.Memory)
		}
		if err := p.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = p.Wait() // killed
	}
}
