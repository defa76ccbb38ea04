package serve

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vggo/vggo/vision"
)

// queued waits until so many pictures wait.
func (d *decoders) queued(n int) {
	for {
		d.mu.Lock()
		have := len(d.queue)
		d.mu.Unlock()
		if have == n {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// TestDecoders: small pictures find a decoder that no large one holds, the cheaper ones first, and everyone has a turn.
func TestDecoders(t *testing.T) {
	small, photo, bomb := vision.Work{Time: time.Millisecond}, vision.Work{Time: 300 * time.Millisecond},
		vision.Work{Time: 4 * time.Second, Memory: 1 << 30}
	for _, n := range []int{1, 2, 4} {
		d := newDecoders(n, time.Minute)
		var held []func()
		for range max(n-1, 1) {
			leave, err := d.enter(t.Context(), bomb)
			if err != nil {
				t.Fatal(err)
			}
			held = append(held, leave)
		}
		var order []string
		var mu sync.Mutex
		var all sync.WaitGroup
		wait := func(name string, w vision.Work) {
			all.Go(func() {
				leave, err := d.enter(t.Context(), w)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				order = append(order, name)
				mu.Unlock()
				leave()
				leave() // does nothing
			})
		}
		wait("bomb", bomb)
		d.queued(1)
		wait("heavy", vision.Work{Memory: smallMemory + 1})
		d.queued(2)
		wait("photo", photo)
		d.queued(3)
		leave, err := d.enter(t.Context(), small) // goes at once, or the test never ends
		if err != nil {
			t.Fatal(err)
		}
		// Whoever gives up leaves the queue.
		ctx, cancel := context.WithCancelCause(t.Context())
		gone := errors.New("gone")
		all.Go(func() {
			if _, err := d.enter(ctx, bomb); !errors.Is(err, gone) {
				t.Errorf("given up: %v", err)
			}
		})
		d.queued(4)
		cancel(gone)
		d.queued(3)
		leave()
		for _, leave := range held {
			leave()
		}
		all.Wait()
		d.mu.Lock() // which orders what is read after what the leavers wrote
		if n < 4 && !slices.Equal(order, []string{"heavy", "photo", "bomb"}) {
			t.Errorf("%d decoders: large pictures are decoded in the order %v", n, order)
		}
		if d.running != 0 || d.heavy != 0 || len(d.queue) != 0 {
			t.Errorf("in the end %d run, %d of them large, %d wait", d.running, d.heavy, len(d.queue))
		}
		d.mu.Unlock()
	}
}

// TestDecodersRefuse: who would wait too long is told when to come again; small pictures are not kept by large ones.
func TestDecodersRefuse(t *testing.T) {
	d := newDecoders(2, 10*time.Second)
	ctx, cancel := context.WithCancel(t.Context())
	bomb := vision.Work{Time: 4 * time.Second}
	leave, err := d.enter(ctx, bomb)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 3 {
		all.Go(func() {
			if _, err := d.enter(ctx, bomb); err == nil {
				t.Error("a second large picture is decoded")
			}
		})
		d.queued(i + 1)
	}
	var full *refusal
	if _, err := d.enter(ctx, bomb); !errors.As(err, &full) || full.Kind.status != 429 || full.After < 10*time.Second {
		t.Errorf("a queue of 12 s: %+v", err)
	}
	leaveSmall, err := d.enter(ctx, vision.Work{Time: time.Millisecond})
	if err != nil {
		t.Error(err)
	}
	cancel()
	all.Wait()
	leave()
	leaveSmall()
	if d.running != 0 {
		t.Errorf("%d run", d.running)
	}
}

// TestBombs: small files that take seconds and gigabytes to decode keep no small picture waiting, and one that costs
// more than any may is refused before it is decoded.
func TestBombs(t *testing.T) {
	data := os.Getenv("VGGO_TESTDATA")
	if data == "" {
		t.Skip("VGGO_TESTDATA is not set")
	}
	s, address := running(t, Config{})
	var bombs [][]byte
	for _, name := range []string{"jpgscans.jpg", "tif.tif"} {
		file, err := os.ReadFile(filepath.Join(data, "reports", "hostile", name))
		if err != nil {
			t.Fatal(err)
		}
		bombs = append(bombs, file)
	}
	ctx, over := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for i := range 6 {
		all.Go(func() {
			for ctx.Err() == nil {
				request, err := http.NewRequestWithContext(ctx, "POST", "http://"+address+"/v1/classify",
					bytes.NewReader(bombs[i%2]))
				if err != nil {
					t.Error(err)
					return
				}
				if answer, err := http.DefaultClient.Do(request); err == nil {
					answer.Body.Close()
				}
			}
		})
	}
	s.decode.queued(2) // of those of one kind; the others are refused
	var took []time.Duration
	for range 20 {
		start := time.Now()
		if answer, text := (sent{method: "POST", path: "/v1/classify", body: boot(t)}).do(t,
			"http://"+address); answer.StatusCode != 200 {
			t.Errorf("a small picture: %d %s", answer.StatusCode, text)
		}
		took = append(took, time.Since(start))
	}
	over()
	slices.Sort(took)
	if took[len(took)/2] > time.Second || took[len(took)-1] > 3*time.Second {
		t.Errorf("small pictures took %v", took)
	}
	all.Wait()

	s.DecodeTime = 500 * time.Millisecond
	for i, want := range []string{"JPEG of 5000x5000 pixels in 191 scans is refused",
		"TIFF of 5000x5000 pixels: decoding it would take about 2 s, and the limit is 500ms"} {
		if answer, text := (sent{method: "POST", path: "/v1/classify", body: bombs[i]}).do(t,
			"http://"+address); answer.StatusCode != 422 || !strings.Contains(string(text), want) {
			t.Errorf("%d %s, want %s", answer.StatusCode, text, want)
		}
	}
}
