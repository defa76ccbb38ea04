//go:build unix

package main

import (
	"bufio"
	"bytes"
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
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// served is a vggo serve of its own process.
type served struct {
	*exec.Cmd
	url   string
	lines chan map[string]any // its log, until it ends
}

// serveProcess starts vggo serve and waits until it is ready.
func serveProcess(t *testing.T, args ...string) *served {
	t.Helper()
	s := &served{Cmd: exec.Command("vggo", append([]string{"serve"}, args...)...),
		lines: make(chan map[string]any, 100_000)}
	stderr, err := s.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Process.Kill() }) // an error where it has ended
	go func() {
		defer close(s.lines)
		for text := bufio.NewScanner(stderr); text.Scan(); {
			line := map[string]any{}
			if err := json.Unmarshal(text.Bytes(), &line); err != nil {
				line["msg"] = text.Text()
			}
			s.lines <- line
		}
	}()
	s.url = "http://" + s.until(t, "ready")["address"].(string)
	return s
}

// until reads the log up to a message.
func (s *served) until(t *testing.T, message string) map[string]any {
	t.Helper()
	var before []any
	for line := range s.lines {
		if line["msg"] == message {
			return line
		}
		before = append(before, line)
	}
	t.Fatalf("vggo serve ends before it says %q: %v", message, before)
	return nil
}

// TestServeTerminated: SIGTERM under load. Whatever the server took on it answers, 200 and in full; it ends by itself,
// with 0.
func TestServeTerminated(t *testing.T) {
	s := serveProcess(t, "--weights", tinyWeights, "--addr", "127.0.0.1:0", "--queue", "1000")
	boot, err := os.ReadFile("../../docs/examples/boot.png")
	if err != nil {
		t.Fatal(err)
	}
	var (
		all      sync.WaitGroup
		answered atomic.Int64
		mu       sync.Mutex
		failed   = map[string]error{} // by request id
	)
	for client := range 32 {
		all.Go(func() {
			// Some keep their connection, some do not.
			web := &http.Client{Transport: &http.Transport{DisableKeepAlives: client%2 == 0}}
			defer web.CloseIdleConnections()
			for n := 0; ; n++ {
				id := fmt.Sprintf("%d-%d", client, n)
				r, err := http.NewRequest("POST", s.url+"/v1/classify", bytes.NewReader(boot))
				if err != nil {
					t.Error(err)
					return
				}
				r.Header.Set("X-Request-Id", id)
				answer, err := web.Do(r)
				var text []byte
				if err == nil {
					text, err = io.ReadAll(answer.Body)
					answer.Body.Close()
				}
				if err == nil && (answer.StatusCode != 200 || !strings.HasSuffix(string(text), "]}\n")) {
					t.Errorf("request %s: %d %s", id, answer.StatusCode, text)
				}
				if err != nil {
					mu.Lock()
					failed[id] = err
					mu.Unlock()
					return
				}
				if answered.Add(1) == 300 {
					if err := s.Process.Signal(syscall.SIGTERM); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	if answered.Load() < 300 || len(failed) != 32 {
		t.Errorf("%d answered, %d clients saw the end", answered.Load(), len(failed))
	}
	logged, told := int64(0), map[any]bool{}
	for line := range s.lines {
		switch line["msg"] {
		case "request":
			logged++
			if err := failed[line["id"].(string)]; err != nil {
				t.Errorf("request %s was taken on (status %v), and its client has %v", line["id"], line["status"], err)
			}
		default:
			told[line["msg"]] = true
		}
	}
	if err := s.Wait(); err != nil {
		t.Errorf("it ends with %v", err)
	}
	if logged != answered.Load() || !told["stopping"] || !told["stopped"] {
		t.Errorf("%d requests in the log, %d answered; messages %v", logged, answered.Load(), told)
	}
	for id, err := range failed { // none but those of a connection that nobody took
		if !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
			t.Errorf("request %s: %v", id, err)
		}
	}
}

// TestServeKilled: after kill -9 a new process takes the same address and is ready.
func TestServeKilled(t *testing.T) {
	s := serveProcess(t, "--weights", tinyWeights, "--addr", "127.0.0.1:0")
	address := strings.TrimPrefix(s.url, "http://")
	open, err := net.Dial("tcp", address) // a client that does not notice
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	if err := s.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(); err == nil {
		t.Error("it ended by itself")
	}
	again := serveProcess(t, "--weights", tinyWeights, "--addr", address)
	answer, err := http.Get(again.url + "/v2/health/ready")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != 200 {
		t.Errorf("ready: %d", answer.StatusCode)
	}
	if err := again.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := again.Wait(); err != nil {
		t.Errorf("Ctrl-C ends it with %v", err)
	}
}

// TestServeNames: several models by name, each with flags of its own.
func TestServeNames(t *testing.T) {
	s := serveProcess(t, "--weights", "shirts="+tinyWeights, "--labels", "shirts=../../docs/examples/fashion-mnist.txt",
		"--weights", "plain="+tinyWeights, "--addr", "127.0.0.1:0")
	boot, err := os.ReadFile("../../docs/examples/boot.png")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"shirts": `"label":"Ankle boot"`, "plain": `{"class":9,"probability"`} {
		answer, err := http.Post(s.url+"/v1/classify?top=1&model="+name, "image/png", bytes.NewReader(boot))
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if !strings.Contains(string(text), want) {
			t.Errorf("%s: %s", name, text)
		}
	}
	s.Process.Signal(syscall.SIGTERM)
	s.Wait()
}

// TestServeTrainPage: a network learns in the page where this machine alone reaches it, or where that is asked for.
func TestServeTrainPage(t *testing.T) {
	for _, c := range []struct {
		args string
		on   bool
	}{
		{"--addr 127.0.0.1:0", true},
		{"--addr 127.0.0.1:0 --train-page=false", false},
		{"--addr 127.0.0.1:0 --allow-host vggo.example", false}, // something before it hands requests on
		{"--addr 0.0.0.0:0", false},
		{"--addr 0.0.0.0:0 --train-page", true},
	} {
		s := serveProcess(t, append(strings.Fields(c.args), "--weights", tinyWeights)...)
		answer, err := http.Get(s.url + "/v1/train")
		if err != nil {
			t.Fatal(err)
		}
		var told struct{ On bool }
		err = json.NewDecoder(answer.Body).Decode(&told)
		answer.Body.Close()
		if err != nil || told.On != c.on {
			t.Errorf("%s: %+v (%v)", c.args, told, err)
		}
		s.Process.Signal(syscall.SIGTERM)
		s.Wait()
	}
}

// TestServingPage runs the commands of docs/serving.md as a reader would, with nothing but curl, and compares the first
// answer.
func TestServingPage(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("no curl")
	}
	page, err := os.ReadFile("../../docs/serving.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "docs/examples"), os.DirFS("../../docs/examples")); err != nil {
		t.Fatal(err)
	}
	s := serveProcess(t, "--weights", tinyWeights, "--labels", "../../docs/examples/fashion-mnist.txt", "--addr",
		"127.0.0.1:0")
	var answers [][]byte
	inside := false
	for line := range strings.Lines(string(page)) {
		if strings.HasPrefix(line, "```") {
			inside = line == "```sh\n"
		}
		if !inside || !strings.HasPrefix(line, "curl ") && !strings.HasPrefix(line, "head ") {
			continue
		}
		command := strings.ReplaceAll(line, "localhost:8080", strings.TrimPrefix(s.url, "http://"))
		shell := exec.Command("sh", "-c", strings.Replace(command, "curl ", "curl -sS --fail-with-body ", 1))
		shell.Dir = dir
		out, err := shell.CombinedOutput()
		if err != nil {
			t.Errorf("%s%v\n%s", line, err, out)
		}
		answers = append(answers, out)
	}
	if len(answers) < 11 {
		t.Errorf("%d commands", len(answers))
	}
	// The kernel sets round differently: only five digits of a probability are the model's, the rest the machine's.
	five := func(text string) string { return regexp.MustCompile(`(0\.\d{5})\d*`).ReplaceAllString(text, "$1") }
	if !strings.Contains(five(string(page)), five("```json\n"+string(answers[0])+"```")) {
		t.Errorf("the page does not show what the server answers:\n%s", answers[0])
	}
	for name, size := range map[string]int64{"pool2.npy": 10*7*7*4 + 192, "image.bin": 3136} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() != size {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	s.Process.Signal(syscall.SIGTERM)
	s.Wait()
}
