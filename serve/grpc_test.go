package serve

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
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
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/vggo/vggo"
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
	file, err := inferenceFile()
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

// framed is a message with gRPC's prefix.
func framed(message []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

// over2 speaks HTTP/2 without gRPC's library.
func over2(t testing.TB) *http.Client {
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// post sends a body as a call, and returns gRPC's status, or HTTP's where there is none.
func post(
	t testing.TB,
	c *http.Client,
	address, method string,
	body io.Reader,
	header ...string,
) (code, message string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+address+"/"+inferenceService+"/"+method, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/grpc")
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := c.Do(r)
	if err != nil {
		return "", err.Error()
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return "", err.Error()
	}
	for _, h := range []http.Header{answer.Trailer, answer.Header} {
		if code := h.Get("Grpc-Status"); code != "" {
			return code, h.Get("Grpc-Message")
		}
	}
	return strconv.Itoa(answer.StatusCode), ""
}

// TestGRPCHostile: bytes that are no call, or no message, are refused; the server goes on.
func TestGRPCHostile(t *testing.T) {
	b := startBoth(t, Config{MaxBody: 1 << 20, Stall: 300 * time.Millisecond})
	c := over2(t)
	m := b.loaded.Load().models[0]
	in := newMessage(t, "ModelInferRequest")
	if err := protojson.Unmarshal([]byte(inferText(m, 1, true, "")), in); err != nil {
		t.Fatal(err)
	}
	good, err := proto.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	group := protowire.AppendTag(nil, 9, protowire.StartGroupType)
	const wrong, full, forbidden = codes.InvalidArgument, codes.ResourceExhausted, codes.PermissionDenied
	empties := func(num byte) []byte { return bytes.Repeat([]byte{num<<3 | 2, 0}, 300000) }
	for name, x := range map[string]struct {
		body        []byte
		code        codes.Code
		want        string
		header      []string
		method, got string
	}{
		"good":              {body: framed(good)},
		"nothing":           {code: wrong, want: "no message"},
		"half a prefix":     {body: []byte{0, 0}, code: wrong, want: "ended early"},
		"half a message":    {body: framed(good)[:1000], code: wrong, want: "bytes by its prefix, and 995 came"},
		"two messages":      {body: append(framed(good), framed(good)...), code: wrong, want: "bytes follow"},
		"4 GB announced":    {body: []byte{0, 255, 255, 255, 255, 1}, code: full, want: "the limit is 1048576"},
		"compressed":        {body: append([]byte{1}, framed(good)[1:]...), code: codes.Unimplemented, want: "compressed"},
		"no protobuf":       {body: framed([]byte("hello, world")), code: wrong, want: "inference.proto"},
		"cut off within":    {body: framed(good[:1000]), code: wrong, want: "cut off"},
		"a group":           {body: framed(append(good, group...)), code: wrong, want: "field 9"},
		"groups in groups":  {body: framed(bytes.Repeat(group, 100000)), code: wrong, want: "field 9"},
		"unknown field":     {body: framed(appendText(good, 99, "x")), code: wrong, want: "field 99"},
		"300,000 inputs":    {body: framed(empties(5)), code: wrong, want: "more than one input"},
		"300,000 outputs":   {body: framed(empties(6)), code: wrong, want: "no output"},
		"300,000 raws":      {body: framed(empties(7)), code: wrong, want: "more than one element"},
		"300,000 params":    {body: framed(empties(4)), code: wrong, want: "has no value"},
		"no UTF-8":          {body: framed(appendText(nil, 1, "\xff")), code: wrong, want: "no UTF-8"},
		"number for a name": {body: framed([]byte{1 << 3, 1}), code: wrong, want: "wire type 0"},
		"timeout of words":  {body: framed(good), header: []string{"grpc-timeout", "soon"}, got: "400"},
		"not gRPC":          {body: framed(good), header: []string{"Content-Type", "text/plain"}, got: "415"},
		"another name": {body: framed(good), header: []string{"Host", "evil.example"}, code: forbidden,
			want: "evil.example"},
		"another origin": {body: framed(good), header: []string{"Origin", "http://evil.example"}, code: forbidden,
			want: "web page elsewhere"},
		"fields of a message without": {method: "ServerLive", body: framed(appendText(nil, 1, "x")), code: wrong,
			want: "field 1"},
		"unknown call": {method: "../v2", body: framed(nil), code: codes.Unimplemented, want: "no call of this name"},
	} {
		code, message := post(t, c, b.calls, either(x.method, "ModelInfer"), bytes.NewReader(x.body), x.header...)
		if want := either(x.got, strconv.Itoa(int(x.code))); code != want || !strings.Contains(message, x.want) {
			t.Errorf("%s: %s %s, want %s and %q", name, code, message, want, x.want)
		}
	}
	// A message that stops coming.
	reader, writer := io.Pipe()
	go writer.Write(framed(good)[:1000])
	if code, message := post(t, c, b.calls, "ModelInfer", reader); code != "4" || !strings.Contains(message, "in time") {
		t.Errorf("half a message and no end: %s %s", code, message)
	}
	writer.Close()
	if want := b.restOutputs(t, m, 1); len(want) == 0 || b.buffers.inUse() != 0 {
		t.Errorf("afterwards %d bytes are held", b.buffers.inUse())
	}
	if conn, err := net.Dial("tcp", b.calls); err != nil {
		t.Error(err)
	} else { // no HTTP/2 at all
		defer conn.Close()
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		conn.SetReadDeadline(time.Now().Add(time.Minute))
		if text, _ := io.ReadAll(conn); bytes.Contains(text, []byte(" 200 ")) {
			t.Errorf("HTTP/1.1 is answered: %s", text)
		}
	}
}

// TestGRPCBounds: no room, no time, a client that leaves, and the end: as over REST.
func TestGRPCBounds(t *testing.T) {
	var log bytes.Buffer
	b := startBoth(t, Config{Queue: 4, MaxBody: 1 << 20, Buffers: 2 << 20, Timeout: 400 * time.Millisecond,
		Log: slog.New(slog.NewTextHandler(&log, nil))})
	l := b.loaded.Load()
	m := l.models[0]
	good := inferText(m, 1, true, "")
	refused := func(name string, ctx context.Context, code codes.Code, want string, again bool) {
		t.Helper()
		_, err := b.ask(ctx, t, "ModelInfer", good)
		st := status.Convert(err)
		retry := false
		for _, d := range st.Details() {
			info, ok := d.(*errdetails.RetryInfo)
			retry = retry || ok && info.RetryDelay.AsDuration() >= time.Second
		}
		if st.Code() != code || !strings.Contains(st.Message(), want) || retry != again {
			t.Errorf("%s: %v, to come again %t; want %v and %q", name, err, retry, code, want)
		}
		if b.buffers.inUse() != 0 && name != "no bytes" || m.batches.waiting() != 0 {
			t.Errorf("%s: %d bytes held, %d images wait", name, b.buffers.inUse(), m.batches.waiting())
		}
	}
	all, err := l.work.enter(l.work.budget)
	if err != nil {
		t.Fatal(err)
	}
	refused("no work", t.Context(), codes.ResourceExhausted, "no room for more work", true)
	all.leave()
	if all, err = b.buffers.enter(b.Buffers - 1); err != nil {
		t.Fatal(err)
	}
	refused("no bytes", t.Context(), codes.ResourceExhausted, "no room for more work", true)
	all.leave()

	b.turn <- struct{}{} // somebody computes, without end
	refused("the server's time", t.Context(), codes.DeadlineExceeded, "ran out of time", true)
	code, message := post(t, over2(t), b.calls, "ModelInfer", bytes.NewReader(framed(requestOf(t, good))),
		"grpc-timeout", "20m")
	if code != "4" || !strings.Contains(message, "ran out of time") {
		t.Errorf("a client's 20 ms: %s %s", code, message)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := b.ask(ctx, t, "ModelInfer", good); status.Code(err) != codes.Canceled {
		t.Errorf("a client that leaves: %v", err)
	}
	for m.batches.waiting() != 0 || l.work.inUse() != 0 || b.buffers.inUse() != 0 {
		time.Sleep(time.Millisecond) // the test's own time limit ends a server that holds on to them
	}
	<-b.turn

	b.inFlight.Add(int64(b.Connections + spareConnections)) // as many calls are under way
	refused("too many calls", t.Context(), codes.ResourceExhausted, "requests in progress", true)
	if _, err := b.ask(t.Context(), t, "ServerReady", "{}"); err != nil {
		t.Errorf("a probe: %v", err)
	}
	b.inFlight.Add(-int64(b.Connections + spareConnections))

	// SIGTERM: what was accepted is answered, and nothing more is taken.
	b.turn <- struct{}{}
	answered := make(chan error)
	go func() {
		_, err := b.ask(context.Background(), t, "ModelInfer", good)
		answered <- err
	}()
	for m.batches.waiting() == 0 {
		time.Sleep(time.Millisecond)
	}
	go b.stop()
	for !b.draining.Load() {
		time.Sleep(time.Millisecond)
	}
	<-b.turn
	if err := <-answered; err != nil {
		t.Errorf("what was accepted before the end: %v", err)
	}
	b.stop()
	if _, err := b.ask(t.Context(), t, "ModelInfer", good); status.Code(err) != codes.Unavailable {
		t.Errorf("after the end: %v", err)
	}
	for _, want := range []string{"path=/inference.GRPCInferenceService/ModelInfer status=429 ", "status=504 ",
		"status=499 ", "kind=busy", "status=200 ", "network_seconds="} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, &log)
		}
	}
}

// requestOf is a ModelInferRequest's bytes.
func requestOf(t testing.TB, text string) []byte {
	t.Helper()
	in := newMessage(t, "ModelInferRequest")
	if err := protojson.Unmarshal([]byte(text), in); err != nil {
		t.Fatal(err)
	}
	message, err := proto.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	return message
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

// published are the numbers of the protocol's fields, as specification/protocol/open_inference_grpc.proto of
// github.com/kserve/open-inference-protocol has them.
const published = `
ServerLiveRequest
ServerLiveResponse live=1:bool
ServerReadyRequest
ServerReadyResponse ready=1:bool
ModelReadyRequest name=1:string version=2:string
ModelReadyResponse ready=1:bool
ServerMetadataRequest
ServerMetadataResponse name=1:string version=2:string extensions=3:string
ModelMetadataRequest name=1:string version=2:string
ModelMetadataResponse name=1:string versions=2:string platform=3:string inputs=4:message outputs=5:message
TensorMetadata name=1:string datatype=2:string shape=3:int64
ModelInferRequest model_name=1:string model_version=2:string id=3:string parameters=4:message inputs=5:message` +
	` outputs=6:message raw_input_contents=7:bytes
InferInputTensor name=1:string datatype=2:string shape=3:int64 parameters=4:message contents=5:message
InferRequestedOutputTensor name=1:string parameters=2:message
ModelInferResponse model_name=1:string model_version=2:string id=3:string parameters=4:message outputs=5:message` +
	` raw_output_contents=6:bytes
InferOutputTensor name=1:string datatype=2:string shape=3:int64 parameters=4:message contents=5:message
InferParameter bool_param=1:bool int64_param=2:int64 string_param=3:string double_param=4:double uint64_param=5:uint64
InferTensorContents bool_contents=1:bool int_contents=2:int32 int64_contents=3:int64 uint_contents=4:uint32` +
	` uint64_contents=5:uint64 fp32_contents=6:float fp64_contents=7:double bytes_contents=8:bytes
`

// TestInferenceProto: inference.proto has the published names, numbers and kinds, and inference.binpb is what protoc
// makes of it, where there is one.
func TestInferenceProto(t *testing.T) {
	file, err := inferenceFile()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	var list func(protoreflect.MessageDescriptors)
	list = func(all protoreflect.MessageDescriptors) {
		for i := range all.Len() {
			m := all.Get(i)
			if m.IsMapEntry() {
				continue
			}
			line := string(m.Name())
			for j := range m.Fields().Len() {
				f := m.Fields().Get(j)
				line += fmt.Sprintf(" %s=%d:%s", f.Name(), f.Number(), f.Kind())
			}
			lines = append(lines, line)
			list(m.Messages())
		}
	}
	list(file.Messages())
	for _, want := range strings.Split(strings.TrimSpace(published), "\n") {
		found := false
		for _, line := range lines {
			found = found || line == want
		}
		if !found {
			t.Errorf("inference.proto lacks %q:\n%s", want, strings.Join(lines, "\n"))
		}
	}
	if file.Services().Get(0).FullName() != inferenceService || file.Services().Get(0).Methods().Len() !=
		len(grpcMethods[inferenceService]) {
		t.Errorf("service %s", file.Services().Get(0).FullName())
	}
	protoc, err := exec.LookPath("protoc")
	if err != nil {
		return
	}
	made := t.TempDir() + "/inference.binpb"
	if out, err := exec.Command(protoc, "--descriptor_set_out="+made, "inference.proto").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if fresh, err := os.ReadFile(made); err != nil || !bytes.Equal(fresh, inferenceDescriptor) {
		t.Errorf("inference.binpb is not what protoc makes of inference.proto: go generate ./serve (%v)", err)
	}
}

// FuzzGRPCRequest: no message makes its reading panic, and what is read is what protobuf's own library reads.
func FuzzGRPCRequest(f *testing.F) {
	for _, text := range []string{
		inferText(two, 1, true, `"id":"42","outputs":[{"name":"logits"}],`+
			`"parameters":{"binary_data_output":{"bool_param":true}},`),
		inferText(two, 2, false, `"model_version":"1",`),
	} {
		f.Add(requestOf(f, text))
	}
	f.Add(bytes.Repeat([]byte{5<<3 | 2, 0}, 100))
	f.Fuzz(func(t *testing.T, message []byte) {
		in, err := readInferRequest(message)
		if err != nil {
			return
		}
		n, err := two.checkInput(in.input, len(in.raw))
		if err != nil {
			return
		}
		c := &call{bytes: &admission{gate: newGate(1<<30, "bytes")}}
		got, err := c.inputTensor(two, in.input, in.raw, n) // contents are looked into here
		if err != nil {
			return
		}
		want := newMessage(t, "ModelInferRequest")
		if err := proto.Unmarshal(message, want); err != nil {
			t.Fatalf("what is read is no message: %v", err)
		}
		field := func(m protoreflect.Message, name string) protoreflect.Value {
			return m.Get(m.Descriptor().Fields().ByName(protoreflect.Name(name)))
		}
		if field(want, "model_name").String() != in.model || field(want, "inputs").List().Len() != 1 {
			t.Fatalf("model %q, want %v", in.model, want)
		}
		input := field(want, "inputs").List().Get(0).Message()
		shape := field(input, "shape").List()
		if shape.Len() != len(in.input.shape) || field(input, "name").String() != in.input.name {
			t.Fatalf("input %v, want %v", in.input, input)
		}
		for i, d := range in.input.shape {
			if shape.Get(i).Int() != d {
				t.Fatalf("shape %v, want %v", in.input.shape, shape)
			}
		}
		if 4*len(got.Data) > len(message) {
			t.Fatalf("%d values of %d bytes", len(got.Data), len(message))
		}
		if in.raw != nil {
			if raw := field(want, "raw_input_contents").List(); raw.Len() != 1 ||
				!bytes.Equal(raw.Get(0).Bytes(), floatBytes(got.Data)) {
				t.Fatalf("values %v, want %v", got.Data, raw)
			}
			return
		}
		values := field(field(input, "contents").Message(), "fp32_contents").List()
		if values.Len() != len(got.Data) {
			t.Fatalf("%d values, want %d", len(got.Data), values.Len())
		}
		for i, v := range got.Data {
			if w := float32(values.Get(i).Float()); v != w && (v == v || w == w) {
				t.Fatalf("value %d is %v, want %v", i, v, w)
			}
		}
	})
}

// peer is a program that a test asks; without it the test is skipped, or fails where it must be.
func peer(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		if os.Getenv("VGGO_REQUIRE_PEERS") != "" {
			t.Fatalf("%s: %v: %s", name, err, out)
		}
		t.Skipf("%s: %v", name, err)
	}
}

// TestGRPCurl: grpcurl, which knows nothing of the protocol, asks by reflection; its answer has REST's bits.
func TestGRPCurl(t *testing.T) {
	peer(t, "grpcurl", "-version")
	b := startBoth(t, Config{})
	grpcurl := func(stdin string, args ...string) string {
		t.Helper()
		c := exec.CommandContext(t.Context(), "grpcurl", append([]string{"-plaintext"}, args...)...)
		c.Stdin = strings.NewReader(stdin)
		out, err := c.CombinedOutput()
		if err != nil {
			t.Errorf("grpcurl %v: %v: %s", args, err, out)
		}
		return string(out)
	}
	if got := grpcurl(
		"",
		b.calls,
		"list",
	); !strings.Contains(got, inferenceService) ||
		!strings.Contains(got, healthService) {
		t.Errorf("list: %s", got)
	}
	if got := grpcurl("", b.calls, "describe", inferenceService); !strings.Contains(got, "rpc ModelInfer") {
		t.Errorf("describe: %s", got)
	}
	if got := grpcurl("", b.calls, healthService+"/Check"); !strings.Contains(got, "SERVING") {
		t.Errorf("Check: %s", got)
	}
	for _, m := range b.loaded.Load().models {
		got := grpcurl(inferText(m, 3, true, ""), "-d", "@", b.calls, inferenceService+"/ModelInfer")
		var answer struct{ RawOutputContents [][]byte }
		if err := json.Unmarshal([]byte(got), &answer); err != nil {
			t.Fatalf("%v: %s", err, got)
		}
		if want := b.restOutputs(t, m, 3); !bytes.Equal(bytes.Join(answer.RawOutputContents, nil), want) {
			t.Errorf("%s: other bytes than REST's", m.name)
		}
	}
}

// TestPythonClient: Python's grpcio gets REST's bits, from raw contents and from typed ones.
func TestPythonClient(t *testing.T) {
	const python = "/usr/bin/python3"
	peer(t, python, "-c", "import grpc, google.protobuf")
	b := startBoth(t, Config{})
	for _, m := range b.loaded.Load().models {
		want := hex.EncodeToString(b.restOutputs(t, m, 3))
		for _, how := range []string{"raw", "typed"} {
			shape, _ := json.Marshal(m.inputShape(3))
			c := exec.CommandContext(t.Context(), python, "../scripts/grpc_client.py", b.calls, m.name, string(shape), how)
			c.Stdin = bytes.NewReader(floatBytes(pixels(m, 3)))
			got, err := c.CombinedOutput()
			if err != nil || strings.TrimSpace(string(got)) != want {
				t.Errorf("%s, %s: %v, %.300s", m.name, how, err, got)
			}
		}
	}
}

// TestGRPCConnections: idle ones make room for others, and who does not take an answer is cut off.
func TestGRPCConnections(t *testing.T) {
	wide := func() (*vggo.Model, error) { // 13 MB of answer below
		return vggo.New("8x8x3:4,M/200000", vggo.Options{Seed: 1})
	}
	b := startBoth(t, Config{Calls: 2, Stall: 200 * time.Millisecond, Models: []Source{{"wide", wide}}})
	for range 2 * (b.Calls + spareConnections) {
		conn, err := net.Dial("tcp", b.calls)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	if _, err := b.ask(t.Context(), t, "ServerReady", "{}"); err != nil {
		t.Errorf("beside idle connections: %v", err)
	}
	c := over2(t)
	body := framed(requestOf(t, inferText(b.loaded.Load().models[0], 8, true, "")))
	r, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+b.calls+"/"+inferenceService+"/ModelInfer",
		bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/grpc")
	answer, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	for b.buffers.inUse() > 0 || b.inFlight.Load() > 0 {
		time.Sleep(time.Millisecond) // the test's own time limit ends a server that waits for ever
	}
	if n, err := io.Copy(io.Discard, answer.Body); err == nil && answer.Trailer.Get("Grpc-Status") == "0" {
		t.Errorf("all of %d bytes were sent to nobody", n)
	}
}
