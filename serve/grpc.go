//go:build !js

package serve

import (
	"context"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	encodingproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/reflection"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/durationpb"
)

// The Open Inference Protocol over gRPC. Calls come by net/http, like everything else here, so that they pass the same
// guard, take memory from the same gate as their bytes arrive, and have the same times. grpc-go has them from there: it
// finds the method, keeps the client's deadline and writes answers and statuses. It never reads: what it would read for
// itself it would hold before anyone is asked.

const (
	inferenceService = "inference.GRPCInferenceService"
	// healthService is gRPC's own, of github.com/grpc/grpc, doc/health-checking.md. Its Watch, a call without end, is
	// not there, which clients take for healthy.
	healthService = "grpc.health.v1.Health"
)

// grpcMethods are the calls that services have: each of one message, answered by one.
var grpcMethods = map[string]map[string]func(c *call, message []byte) ([]byte, error){
	inferenceService: {
		"ServerLive":     (*call).grpcServerLive,
		"ServerReady":    (*call).grpcServerReady,
		"ServerMetadata": (*call).grpcServerMetadata,
		"ModelReady":     (*call).grpcModelReady,
		"ModelMetadata":  (*call).grpcModelMetadata,
		"ModelInfer":     (*call).grpcModelInfer,
	},
	healthService: {"Check": (*call).grpcHealth},
}

// grpcProbes are the paths of what watches the server.
var grpcProbes = map[string]bool{
	"/" + inferenceService + "/ServerLive": true, "/" + inferenceService + "/ServerReady": true,
	"/" + healthService + "/Check": true,
}

func (c *call) grpcServerLive(message []byte) ([]byte, error) {
	return appendTrue(nil, 1, true), c.empty(message)
}

func (c *call) grpcServerReady(message []byte) ([]byte, error) {
	return appendTrue(nil, 1, c.usable()), c.empty(message)
}

func (c *call) grpcServerMetadata(message []byte) ([]byte, error) {
	return c.metadata().message(), c.empty(message)
}

// empty refuses what stands in a message that has no fields.
func (c *call) empty(message []byte) error {
	if err := eachField("the request", message, field.unknown); err != nil {
		return refuse(badRequest, "this call takes an empty message", "%v", err)
	}
	return nil
}

func (c *call) grpcModelReady(message []byte) ([]byte, error) {
	if c.loaded.Load() == nil {
		return nil, nil // not ready, as over REST
	}
	m, err := c.namedModel(message)
	if err != nil {
		return nil, err
	}
	return appendTrue(nil, 1, c.takes(m)), nil
}

func (c *call) grpcModelMetadata(message []byte) ([]byte, error) {
	m, err := c.namedModel(message)
	if err != nil {
		return nil, err
	}
	return m.metadata().message(), nil
}

// namedModel finds the model that a message names.
func (c *call) namedModel(message []byte) (*model, error) {
	name, version, err := readNamed(message)
	if err != nil {
		return nil, refuse(badRequest, "it has a name and a version", "%v", err)
	}
	return c.calledModel(name, version)
}

// calledModel finds a model by its name, which a message may lack.
func (c *call) calledModel(name, version string) (*model, error) {
	if name == "" {
		return nil, refuse(badRequest, "name the model", "no model is named")
	}
	return c.versioned(name, version)
}

func (c *call) grpcModelInfer(message []byte) ([]byte, error) {
	in, wrong := readInferRequest(message)
	m, err := c.calledModel(in.model, in.version)
	switch {
	case wrong != nil && m == nil:
		return nil, refuse(badTensor, "it is a ModelInferRequest of inference.proto", "%v", wrong)
	case err != nil:
		return nil, err
	case wrong != nil:
		return nil, m.badInput("%v", wrong)
	}
	const written = 4 // the message, beside the values
	logits, err := c.inferred(m, &in.inferRequest, in.raw, written)
	if err != nil {
		return nil, err
	}
	return m.inferMessage(&in, logits)
}

// grpcHealth answers for the server as a whole, and for the protocol's service.
func (c *call) grpcHealth(message []byte) ([]byte, error) {
	service := ""
	err := eachField("the request", message, func(f field) error {
		if f.num != 1 {
			return f.unknown()
		}
		return f.text(&service)
	})
	if err != nil {
		return nil, refuse(badRequest, "it has a service", "%v", err)
	}
	if service != "" && service != inferenceService {
		return nil, refuse(notFound, "there is "+inferenceService+`, and "" for all`, "there is no service %q",
			clip(service))
	}
	const serving, notServing = 1, 2
	state := byte(notServing)
	if c.usable() {
		state = serving
	}
	return []byte{1 << 3, state}, nil
}

// newEngine is grpc-go with what there is to call.
func (s *Server) newEngine() *grpc.Server {
	engine := grpc.NewServer(grpc.ForceServerCodecV2(codec{encoding.GetCodecV2(encodingproto.Name)}),
		grpc.UnknownServiceHandler(attended("", func(*call, inMessages) error {
			return refuse(notThere, "reflection lists what there is", "there is no call of this name")
		})))
	for service, calls := range grpcMethods {
		desc := &grpc.ServiceDesc{ServiceName: service}
		for name, answer := range calls {
			// grpc-go would read the message of a call that it knows as unary. A client sees no difference.
			desc.Streams = append(desc.Streams, grpc.StreamDesc{StreamName: name,
				Handler: attended("/"+service+"/"+name, func(c *call, stream inMessages) error {
					message, err := c.message()
					if err != nil {
						return err
					}
					text, err := answer(c, message)
					if err != nil {
						return err
					}
					return stream.SendMsg(text)
				})})
		}
		engine.RegisterService(desc, nil)
	}
	// As reflectionv1.RegisterServerReflectionServer does.
	desc := reflectionv1.ServerReflection_ServiceDesc
	server := reflection.NewServerV1(reflection.ServerOptions{Services: engine, DescriptorResolver: descriptors{}})
	desc.Streams = slices.Clone(desc.Streams)
	for i, each := range desc.Streams {
		desc.Streams[i].Handler = attended("/"+desc.ServiceName+"/"+each.StreamName,
			func(_ *call, stream inMessages) error { return each.Handler(server, stream) })
	}
	engine.RegisterService(&desc, server)
	return engine
}

// grpcStatus is the refusal as gRPC has it, with its kind, its id and when to try again as google.rpc's details.
func (p *refusal) grpcStatus() error {
	plain := status.New(p.Kind.code, p.whole())
	told, err := plain.WithDetails(&errdetails.ErrorInfo{Reason: p.Kind.name, Domain: "vggo",
		Metadata: map[string]string{"request_id": p.ID}})
	if err == nil && p.After > 0 {
		told, err = told.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(p.After)})
	}
	if err != nil {
		return plain.Err()
	}
	return told.Err()
}

// codec lets answers through that are messages already.
type codec struct{ encoding.CodecV2 }

func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if message, ok := v.([]byte); ok {
		return mem.BufferSlice{mem.SliceBuffer(message)}, nil
	}
	return c.CodecV2.Marshal(v)
}

// grpcCall is what gRPC's engine needs of a call.
type grpcCall struct {
	err      error      // why it is refused before it is read, if it is
	attended sync.Mutex // held by the goroutine that answers it
	over     bool       // it has been answered, or the client has left
}

type callKey struct{}

// grpcHandler answers calls of gRPC.
func (s *Server) grpcHandler() http.Handler {
	return s.guard(overGRPC, s.handle(func(c *call) error {
		c.dispatch()
		return nil
	}))
}

// dispatch hands a call to the engine, which comes back with it to attend, in a goroutine of its own.
func (c *call) dispatch() {
	r := c.r.WithContext(context.WithValue(c.r.Context(), callKey{}, c))
	r.Body = http.NoBody
	c.engine.ServeHTTP(patient{c}, r)
	c.grpc.attended.Lock()
	c.grpc.over = true
	c.grpc.attended.Unlock()
}

// attended is what every call of gRPC passes. Its path is its name for metrics, "" of one that they do not know.
func attended(path string, answer func(*call, inMessages) error) grpc.StreamHandler {
	return func(_ any, stream grpc.ServerStream) error {
		c := stream.Context().Value(callKey{}).(*call)
		return c.attend(path, stream, answer)
	}
}

func (c *call) attend(path string, stream grpc.ServerStream, answer func(*call, inMessages) error) (err error) {
	c.grpc.attended.Lock()
	defer c.grpc.attended.Unlock()
	if c.grpc.over {
		return context.Canceled
	}
	c.r.Pattern = path
	ctx, cancel := context.WithTimeoutCause(stream.Context(), c.Timeout, errTimeout)
	defer cancel()
	c.ctx = ctx
	defer func() {
		if failure := recover(); failure != nil {
			c.Log.Error("panic", "id", c.entry.id, "panic", failure, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", failure)
		}
		if err != nil {
			p := c.refused(err)
			c.entry.status = p.Kind.status
			err = p.grpcStatus()
		}
	}()
	if c.grpc.err != nil {
		return c.grpc.err
	}
	err = answer(c, inMessages{stream, c})
	for _, t := range c.timings {
		c.entry.note(slog.Float64(t.on+"_seconds", t.took.Seconds()))
	}
	return err
}

// prefixBytes come before a message of gRPC: whether it is compressed, and its length.
const prefixBytes = 5

// prefix reads the next message's; io.EOF says that there is none.
func (c *call) prefix() (length int64, err error) {
	var b [prefixBytes]byte
	c.patience()
	switch _, err := io.ReadFull(c.r.Body, b[:]); {
	case errors.Is(err, io.EOF):
		return 0, io.EOF
	case err != nil:
		return 0, c.broken(err)
	case b[0] != 0:
		return 0, refuse(unsupportedType, "send it as it is", "a compressed message is not read")
	}
	return int64(binary.BigEndian.Uint32(b[1:])), nil
}

// message reads the one message of a call.
func (c *call) message() ([]byte, error) {
	const one = "it takes one message"
	length, err := c.prefix()
	if errors.Is(err, io.EOF) {
		return nil, refuse(badRequest, one, "the call has no message")
	}
	if err != nil {
		return nil, err
	}
	message, err := c.readAll(io.LimitReader(c.r.Body, length), length)
	if err != nil {
		return nil, err
	}
	if int64(len(message)) < length {
		return nil, refuse(badRequest, one, "the message has %d bytes by its prefix, and %d came", length, len(message))
	}
	c.patience()
	switch n, err := c.r.Body.Read(make([]byte, 1)); {
	case n > 0:
		return nil, refuse(badRequest, one, "bytes follow the message")
	case err != nil && !errors.Is(err, io.EOF):
		return nil, c.broken(err)
	}
	return message, nil
}

// inMessages is a stream for reflection, which takes message after message, small ones.
type inMessages struct {
	grpc.ServerStream
	*call
}

// RecvMsg reads one; io.EOF says that there is none.
func (s inMessages) RecvMsg(m any) error {
	length, err := s.prefix()
	if err != nil {
		return err
	}
	const most = 4 << 10
	if length > most {
		return refuse(tooLarge, "a question to reflection is a name", "a message of %d bytes: the limit is %d", length, most)
	}
	text := make([]byte, length)
	if _, err := io.ReadFull(s.r.Body, text); err != nil {
		return s.broken(err)
	}
	if err := proto.Unmarshal(text, m.(proto.Message)); err != nil {
		return refuse(badRequest, "it is a ServerReflectionRequest", "%v", err)
	}
	return nil
}

// Context ends with the call's time.
func (s inMessages) Context() context.Context { return s.ctx }

// patient lets gRPC's engine write as everything else here does.
type patient struct{ *call }

func (p patient) Header() http.Header    { return p.w.Header() }
func (p patient) WriteHeader(status int) { p.w.WriteHeader(status) }
func (p patient) Flush()                 { p.w.(http.Flusher).Flush() }

func (p patient) Write(b []byte) (int, error) {
	if err := p.write(b); err != nil {
		p.entry.kind = clientGone.name
		return 0, err
	}
	return len(b), nil
}

// inferenceDescriptor is the descriptor of inference.proto, by which the server describes itself.
//
//go:generate protoc --descriptor_set_out=inference.binpb inference.proto
//go:embed inference.binpb
var inferenceDescriptor []byte

// descriptors are those of this protocol's file, and of what is registered with protobuf's library. The file is not
// registered there: it would collide with another copy of the protocol in the same program.
type descriptors struct{}

// inferenceFiles holds inference.proto alone.
var inferenceFiles = sync.OnceValues(func() (*protoregistry.Files, error) {
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(inferenceDescriptor, &set); err != nil {
		return nil, err
	}
	return protodesc.NewFiles(&set)
})

// FindFileByPath is for reflection.
func (descriptors) FindFileByPath(path string) (protoreflect.FileDescriptor, error) {
	own, err := inferenceFiles()
	if err != nil {
		return nil, err
	}
	if file, err := own.FindFileByPath(path); err == nil {
		return file, nil
	}
	return protoregistry.GlobalFiles.FindFileByPath(path)
}

// FindDescriptorByName is for reflection.
func (descriptors) FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error) {
	own, err := inferenceFiles()
	if err != nil {
		return nil, err
	}
	if found, err := own.FindDescriptorByName(name); err == nil {
		return found, nil
	}
	return protoregistry.GlobalFiles.FindDescriptorByName(name)
}
