package main

import (
	"net"
	"os"
	"strings"
	"testing"
)

func TestServeRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	weights := "--weights " + tinyWeights + " --addr 127.0.0.1:0 "
	for _, c := range []struct {
		args       string
		code       int
		want, hint string
	}{
		{"--model vgg16", 2, "no weights for vgg16: a network without them knows nothing", "--weights FILE"},
		{"extra", 2, `vggo serve takes flags alone, and "extra" is none`, "--weights extra"},
		{"--weights a=x --weights a=y", 2, "--weights is given twice for a", "several models have names"},
		{"--weights x --weights y", 2, "--weights is given two models without names", "several models have names"},
		{"--weights a=x --weights y", 2, "some models have names and some have not", "--weights NAME=FILE"},
		{"--weights a=x --labels b=y", 2, `--labels is for a model "b" that neither --weights nor --model names`, ""},
		{"--weights a=x --model b=vgg16", 2, "b: no weights for vgg16", "--weights FILE"},
		{"--weights a=x --random-weights", 2, "a: --weights and --random-weights exclude each other", ""},
		{"--weights a=x --model-name b", 2, "--model-name b is for one model without a name", "--weights NAME=FILE names"},
		{weights + "--grpc-addr 8081", 2, "--grpc-addr 8081: a port alone", "--grpc-addr 127.0.0.1:8081 for this machine " +
			"alone, or --grpc-addr :8081 for all that reach it"},
		{weights + "--grpc-addr " + taken.Addr().String(), 1, "--grpc-addr " + taken.Addr().String() + ": something else",
			"--grpc-addr 127.0.0.1:0 takes any free port"},
		{weights + "--queue 0", 2, "--queue must be at least 1, not 0", ""},
		{weights + "--batch 0", 2, "--batch must be at least 1, not 0", ""},
		{weights + "--timeout 0s", 2, "--timeout and --max-pixels must be more than 0", ""},
		{weights + "--timeout soon", 2, `--timeout: "soon" is no time, such as 2ms or 30s, in range`,
			"vggo serve --help lists the flags"},
		{weights + "--max-body 32", 2, `--max-body: "32" is no size`, ""},
		{weights + "--debug-addr 0.0.0.0:0", 2, "--debug-addr 0.0.0.0:0 is not of this machine alone",
			"--debug-addr 127.0.0.1:6060"},
		{weights + "--addr " + taken.Addr().String(), 1, "--addr " + taken.Addr().String() + ": something else listens there",
			"--addr 127.0.0.1:0 takes any free port"},
		{weights + "--addr nonsense", 2, "--addr nonsense: want HOST:PORT",
			"--addr 127.0.0.1:8080 for this machine alone, or --addr :8080 for all that reach it; an IPv6"},
		{weights + "--addr 18701", 2, "--addr 18701: a port alone", "--addr 127.0.0.1:18701 for this machine alone, or " +
			"--addr :18701 for all that reach it"},
		{weights + "--addr localhost:nonsense", 2, `--addr localhost:nonsense: "nonsense" is no port`,
			"ports are numbers from 1 to 65535; 0 takes any free one"},
		{weights + "--addr :65536", 2, `--addr :65536: "65536" is no port`, "ports are numbers from 1 to 65535"},
		{weights + "--addr 192.0.2.1:80", 1, "--addr 192.0.2.1:80: no address of this machine",
			"--addr 127.0.0.1:80 for this machine alone"},
		{weights + "--debug-addr 6060", 2, "--debug-addr 6060: a port alone",
			"--debug-addr 127.0.0.1:6060 for this machine alone"},
		{weights + "--model vgg16", 1, "", "without --model the file tells its network: tinyvgg of 10 classes"},
		{"--weights nosuch.safetensors --addr 127.0.0.1:0", 1, "open nosuch.safetensors: ", ""},
	} {
		code, stdout, stderr := vggo(t.Context(), append([]string{"serve"}, strings.Fields(c.args)...)...)
		// What comes before is the log.
		_, message, _ := strings.Cut("\n"+stderr, "\nvggo: ")
		fault, remedy, _ := strings.Cut(message, "\n")
		if code != c.code || stdout != "" || !strings.Contains(fault, c.want) ||
			!strings.HasPrefix(strings.TrimPrefix(remedy, "hint: "), c.hint) || c.hint == "" && remedy != "" {
			t.Errorf("serve %s: exit %d, %q, want exit %d, %q and the hint %q", c.args, code, message, c.code, c.want, c.hint)
		}
	}
}

func TestPerModel(t *testing.T) {
	var order []string
	got, err := perModel("weights", []string{"a=x=y", "./b=c", "B.2-_=d"}, &order)
	if err != nil || got["a"] != "x=y" || got[""] != "./b=c" || got["B.2-_"] != "d" ||
		strings.Join(order, "|") != "a||B.2-_" {
		t.Errorf("%v %q, %v", got, order, err)
	}
}

// TestServeFlagsAreTold: docs/serving.md leaves no flag out.
func TestServeFlagsAreTold(t *testing.T) {
	text, err := os.ReadFile("../../docs/serving.md")
	if err != nil {
		t.Fatal(err)
	}
	code, help, _ := vggo(t.Context(), "serve", "--help")
	if code != 0 {
		t.Fatal(help)
	}
	_, flags, _ := strings.Cut(help, "Flags:")
	for word := range strings.FieldsSeq(flags) {
		if strings.HasPrefix(word, "--") && word != "--help" && !strings.Contains(string(text), "`"+word) {
			t.Errorf("docs/serving.md does not tell of %s", word)
		}
	}
}
