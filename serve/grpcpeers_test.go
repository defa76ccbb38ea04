//go:build !js

package serve

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
)

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
