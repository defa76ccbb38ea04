//go:build !js

package serve

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

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
	file, err := descriptors{}.FindFileByPath("inference.proto")
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
