//go:build !js

package serve

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// both is a server that runs, by both protocols.
type both struct {
	*Server
	web, calls string // addresses
	conn       *grpc.ClientConn
	stop       func() // and wait until it has
}

func startBoth(t *testing.T, config Config) *both {
	t.Helper()
	if config.Models == nil {
		config.Models = []Source{tiny("tiny"), colour("colour")}
	}
	config.LameDuck = either(config.LameDuck, time.Nanosecond)
	b := &both{Server: New(config)}
	web, calls := listenHere(t), listenHere(t)
	b.web, b.calls = "http://"+web.Addr().String(), calls.Addr().String()
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- b.Run(ctx, web, calls) }()
	for !b.usable() {
		select {
		case err := <-ran:
			t.Fatal(err)
		case <-time.After(time.Millisecond):
		}
	}
	b.conn = grpcDial(t, b.calls)
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(b.stop)
	return b
}

func listenHere(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func grpcDial(t *testing.T, address string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// newMessage is one of inference.proto's, by protobuf's own library.
func newMessage(t testing.TB, name string) *dynamicpb.Message {
	t.Helper()
	file, err := descriptors{}.FindFileByPath("inference.proto")
	if err != nil {
		t.Fatal(err)
	}
	return dynamicpb.NewMessage(file.Messages().ByName(protoreflect.Name(name)))
}

// ask sends a message that is written as JSON, and returns the answer as JSON.
func (b *both) ask(ctx context.Context, t testing.TB, method, request string) (map[string]any, error) {
	t.Helper()
	in, out := newMessage(t, method+"Request"), newMessage(t, method+"Response")
	if err := protojson.Unmarshal([]byte(request), in); err != nil {
		t.Fatal(err)
	}
	if err := b.conn.Invoke(ctx, "/"+inferenceService+"/"+method, in, out); err != nil {
		return nil, err
	}
	text, err := protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	var answer map[string]any
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatal(err)
	}
	return answer, nil
}

// pixels are values for n images of a model.
func pixels(m *model, n int) []float32 {
	values := make([]float32, n*m.Input.C*m.Input.H*m.Input.W)
	for i := range values {
		values[i] = float32(i%97)/97 - 0.25
	}
	return values
}

// inferText is a ModelInferRequest as JSON.
func inferText(m *model, n int, raw bool, more string) string {
	values := pixels(m, n)
	shape, _ := json.Marshal(m.inputShape(n))
	input := fmt.Sprintf(`"name":"images","datatype":"FP32","shape":%s`, shape)
	if raw {
		return fmt.Sprintf(`{"model_name":%q,%s"inputs":[{%s}],"raw_input_contents":[%q]}`, m.name, more, input,
			base64.StdEncoding.EncodeToString(floatBytes(values)))
	}
	text, _ := json.Marshal(floatsAsJSON(values))
	return fmt.Sprintf(`{"model_name":%q,%s"inputs":[{%s,"contents":{"fp32_contents":%s}}]}`, m.name, more, input, text)
}

// restOutputs are the outputs of the same images over REST, as bytes.
func (b *both) restOutputs(t *testing.T, m *model, n int) []byte {
	t.Helper()
	answer, text := sent{method: "POST", path: "/v2/models/" + m.name + "/infer", header: []string{headerLength, "0"},
		body: floatBytes(pixels(m, n))}.do(t, b.web)
	head, err := strconv.Atoi(answer.Header.Get(headerLength))
	if err != nil || answer.StatusCode != 200 {
		t.Fatalf("%d %s", answer.StatusCode, text)
	}
	return text[head:]
}

// TestGRPCIsREST: an answer has the same bits by both protocols, however the tensor comes, more than one batch too.
func TestGRPCIsREST(t *testing.T) {
	b := startBoth(t, Config{})
	for _, m := range b.loaded.Load().models {
		for _, n := range []int{1, 3, 9} { // batches hold 4
			want := b.restOutputs(t, m, n)
			for _, raw := range []bool{true, false} {
				answer, err := b.ask(t.Context(), t, "ModelInfer", inferText(m, n, raw, `"id":"7",`))
				if err != nil {
					t.Fatalf("%s, %d images, raw %t: %v", m.name, n, raw, err)
				}
				outputs := answer["outputs"].([]any)
				rawOutputs := answer["raw_output_contents"].([]any)
				var got []byte
				for i, o := range outputs {
					o := o.(map[string]any)
					if name := []string{logitsName, probabilitiesName}[i]; o["name"] != name || o["datatype"] != "FP32" ||
						fmt.Sprint(o["shape"]) != fmt.Sprint(m.outputShape(n)) {
						t.Errorf("%s: output %d: %v", m.name, i, o)
					}
					if raw {
						values, err := base64.StdEncoding.DecodeString(rawOutputs[i].(string))
						if err != nil {
							t.Fatal(err)
						}
						got = append(got, values...)
						continue
					}
					for _, v := range o["contents"].(map[string]any)["fp32_contents"].([]any) {
						got = append(got, floatBytes([]float32{float32(v.(float64))})...)
					}
				}
				if answer["model_name"] != m.name || answer["model_version"] != "1" || answer["id"] != "7" ||
					len(outputs) != 2 || !raw && len(rawOutputs) != 0 || !bytes.Equal(got, want) {
					t.Errorf("%s, %d images, raw %t: %.300v, want the bytes of REST's", m.name, n, raw, answer)
				}
			}
		}
	}
	// The other calls say what REST says.
	for method, c := range map[string]struct{ request, path string }{
		"ServerLive":     {"{}", "/v2/health/live"},
		"ServerReady":    {"{}", "/v2/health/ready"},
		"ServerMetadata": {"{}", "/v2"},
		"ModelReady":     {`{"name":"tiny","version":"1"}`, "/v2/models/tiny/ready"},
		"ModelMetadata":  {`{"name":"tiny"}`, "/v2/models/tiny"},
	} {
		got, err := b.ask(t.Context(), t, method, c.request)
		if err != nil {
			t.Errorf("%s: %v", method, err)
			continue
		}
		_, text := sent{method: "GET", path: c.path}.do(t, b.web)
		var want map[string]any
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		if method == "ModelReady" {
			delete(want, "name") // which the message does not have
		}
		if fmt.Sprint(got) != fmt.Sprint(want) { // JSON of protobuf has int64 as text, which prints alike
			t.Errorf("%s: %v, over REST %v", method, got, want)
		}
	}
	if got, err := b.ask(t.Context(), t, "ModelInfer",
		inferText(b.loaded.Load().models[0], 1, true, `"parameters":{"binary_data_output":{"bool_param":false}},`+
			`"outputs":[{"name":"probabilities"}],`)); err != nil || len(got["raw_output_contents"].([]any)) != 0 ||
		len(got["outputs"].([]any)) != 1 {
		t.Errorf("one output, as values: %v %v", got, err)
	}
}

// TestGRPCRefuses: what is wrong in a request is named as REST names it, by the code that belongs to REST's status.
func TestGRPCRefuses(t *testing.T) {
	b := startBoth(t, Config{MaxBody: 1 << 20})
	m := b.loaded.Load().models[0]
	good := inferText(m, 1, true, "")
	typed := inferText(m, 1, false, "")
	other := func(in, from, to string) string {
		if strings.Count(in, from) != 1 {
			t.Fatalf("%q comes %d times", from, strings.Count(in, from))
		}
		return strings.Replace(in, from, to, 1)
	}
	contents := func(kind, values string) string {
		return fmt.Sprintf(`{"model_name":"tiny","inputs":[{"name":"images","datatype":"FP32","shape":[1,1,28,28],`+
			`"contents":{%q:%s}}]}`, kind, values)
	}
	for _, c := range []struct {
		method, request string
		code            codes.Code
		want            string
	}{
		{"ModelInfer", "{}", codes.InvalidArgument, "there is no input"},
		{"ModelInfer", `{"model_name":"tiny"}`, codes.InvalidArgument, "there is no input"},
		{"ModelInfer", other(good, `"tiny"`, `""`), codes.InvalidArgument, "no model is named"},
		{"ModelInfer", other(good, `"tiny"`, `"vgg"`), codes.NotFound, `no model is called "vgg"`},
		{"ModelInfer", other(good, `"inputs"`, `"model_version":"2","inputs"`), codes.NotFound, `has no version "2"`},
		{"ModelInfer", other(good, `"images"`, `"x"`), codes.InvalidArgument, `there is no input "x"`},
		{"ModelInfer", other(good, "FP32", "FP99"), codes.InvalidArgument, `the datatype of images is "FP99"`},
		{"ModelInfer", other(good, "[1,1,28,28]", "[]"), codes.InvalidArgument, "the shape of images is"},
		{"ModelInfer", other(good, "[1,1,28,28]", "[1,1,28,28,1]"), codes.InvalidArgument, "more than 4 dimensions"},
		{"ModelInfer", other(good, "[1,1,28,28]", "[2,1,28,28]"), codes.InvalidArgument, "2x1x28x28 is 6272 bytes, not 3136"},
		{"ModelInfer", other(good, "[1,1,28,28]", "[0,1,28,28]"), codes.InvalidArgument, "which its data cannot fill"},
		{"ModelInfer", other(good, "[1,1,28,28]", "[-1,1,28,28]"), codes.InvalidArgument, "which its data cannot fill"},
		{"ModelInfer", other(good, "[1,1,28,28]", "[9223372036854775807,1,28,28]"), codes.InvalidArgument,
			"which its data cannot fill"},
		{"ModelInfer", other(typed, "[1,1,28,28]", "[4611686018427387905,1,28,28]"), codes.InvalidArgument,
			"which its data cannot fill"},
		{"ModelInfer", other(typed, "[1,1,28,28]", "[2,1,28,28]"), codes.InvalidArgument, "has 784 values, not 1568"},
		{"ModelInfer", contents("fp32_contents", "[1,2,3]"), codes.InvalidArgument, "which its data cannot fill"},
		{"ModelInfer", contents("fp64_contents", "["+strings.Repeat("0,", 783)+"0]"), codes.InvalidArgument,
			"not in fp32_contents"},
		{"ModelInfer", contents("bytes_contents", `["`+base64.StdEncoding.EncodeToString(make([]byte, 3136))+`"]`),
			codes.InvalidArgument, "not in fp32_contents"},
		{"ModelInfer", other(typed, `"inputs"`, `"raw_input_contents":[""],"inputs"`), codes.InvalidArgument,
			"comes both as data and as bytes"},
		{"ModelInfer", other(good, `"raw_input_contents":[`, `"raw_input_contents":["",`), codes.InvalidArgument,
			"more than one element"},
		{"ModelInfer", other(good, `"inputs":[`, `"inputs":[{},`), codes.InvalidArgument, "more than one input"},
		{"ModelInfer", other(good, `"inputs"`, `"outputs":[{"name":"labels"}],"inputs"`), codes.InvalidArgument,
			`no output "labels"`},
		{"ModelInfer", other(good, `"inputs"`, `"outputs":[{"name":"logits"},{"name":"logits"}],"inputs"`),
			codes.InvalidArgument, "logits is asked for twice"},
		{"ModelInfer", other(good, `"inputs"`, `"parameters":{"sequence_id":{"int64_param":"1"}},"inputs"`),
			codes.InvalidArgument, "sequence_id belongs to an extension"},
		{"ModelInfer", other(good, `"inputs"`, `"parameters":{"binary_data_output":{"string_param":"yes"}},"inputs"`),
			codes.InvalidArgument, "binary_data_output is no truth value"},
		{"ModelInfer", other(good, `"inputs"`, `"parameters":{"x":{}},"inputs"`), codes.InvalidArgument,
			"the parameter x has no value"},
		{"ModelInfer", other(good, `"images"`, `"images","parameters":{"shared_memory_region":{"string_param":"r"}}`),
			codes.InvalidArgument, "shared_memory_region belongs to an extension"},
		{"ModelInfer", inferText(m, 300, true, ""), codes.ResourceExhausted, "this server takes on"},
		{"ModelInfer", inferText(m, 400, true, ""), codes.ResourceExhausted, "the limit is 1048576"},
		{"ModelMetadata", "{}", codes.InvalidArgument, "no model is named"},
		{"ModelMetadata", `{"name":"vgg"}`, codes.NotFound, `no model is called "vgg"`},
		{"ModelReady", `{"name":"tiny","version":"x"}`, codes.NotFound, `has no version "x"`},
	} {
		_, err := b.ask(t.Context(), t, c.method, c.request)
		st := status.Convert(err)
		if st.Code() != c.code || !strings.Contains(st.Message(), c.want) {
			t.Errorf("%s %.150s: %v, want %v and %q", c.method, c.request, err, c.code, c.want)
			continue
		}
		told := false
		for _, d := range st.Details() {
			info, ok := d.(*errdetails.ErrorInfo)
			told = told || ok && info.Domain == "vggo" && info.Reason != "" && info.Metadata["request_id"] != ""
		}
		if !told {
			t.Errorf("%s %.150s: details %v", c.method, c.request, st.Details())
		}
	}
	// Other parameters are passed over, as over REST.
	if _, err := b.ask(t.Context(), t, "ModelInfer", other(
		good,
		`"inputs"`,
		`"parameters":{"priority":{"uint64_param":"1"},"a":{"double_param":0.5},"b":{"string_param":"x"}},"inputs"`,
	)); err != nil {
		t.Error(err)
	}
	if b.buffers.inUse() != 0 || b.loaded.Load().work.inUse() != 0 {
		t.Errorf("%d bytes and %d work are held", b.buffers.inUse(), b.loaded.Load().work.inUse())
	}
	if err := b.conn.Invoke(t.Context(), "/"+inferenceService+"/RepositoryIndex", newMessage(t, "ServerLiveRequest"),
		newMessage(t, "ServerLiveResponse")); status.Code(err) != codes.Unimplemented {
		t.Errorf("an unknown call: %v", err)
	}
}

// TestGRPCHealth: gRPC's own probes, before, while and after the server is ready; and what metrics count.
func TestGRPCHealth(t *testing.T) {
	b := startBoth(t, Config{})
	client := healthpb.NewHealthClient(b.conn)
	check := func(service string) (healthpb.HealthCheckResponse_ServingStatus, codes.Code) {
		got, err := client.Check(t.Context(), &healthpb.HealthCheckRequest{Service: service})
		return got.GetStatus(), status.Code(err)
	}
	for service, want := range map[string]codes.Code{"": codes.OK, inferenceService: codes.OK, "x": codes.NotFound} {
		if state, code := check(service); code != want || code == codes.OK && state != healthpb.HealthCheckResponse_SERVING {
			t.Errorf("%q: %v %v, want %v", service, state, code, want)
		}
	}
	stream, err := client.Watch(t.Context(), &healthpb.HealthCheckRequest{})
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("Watch: %v", err)
	}
	b.draining.Store(true)
	if state, code := check(""); code != codes.OK || state != healthpb.HealthCheckResponse_NOT_SERVING {
		t.Errorf("stopping: %v %v", state, code)
	}
	_, text := sent{method: "GET", path: "/metrics"}.do(t, b.web)
	for _, want := range []string{
		`vggo_request_seconds_count{code="200",protocol="grpc",route="/grpc.health.v1.Health/Check"} 3`,
		`vggo_request_seconds_count{code="404",protocol="grpc",route="/grpc.health.v1.Health/Check"} 1`,
		`vggo_request_seconds_count{code="404",protocol="grpc",route="none"} 1`,
		`vggo_errors_total{kind="not_found",protocol="grpc"} 2`,
	} {
		if !strings.Contains(string(text), "\n"+want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	b.draining.Store(false)
}
