package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vggo/vggo/internal/printable"
	"github.com/vggo/vggo/tensor"
)

// call is a request on its way through a handler.
type call struct {
	*Server
	w       http.ResponseWriter
	r       *http.Request
	ctx     context.Context // ends with the client, or when its time is over
	entry   *logEntry
	bytes   *admission // of buffers
	work    *admission // nil until it is admitted
	timings []timing   // for Server-Timing

	query map[string]string // of the URL, checked, defaults in place

	grpc grpcCall
}

// timing is the time that a part of a request took.
type timing struct {
	on   string
	took time.Duration
}

// endpoint is a handler that may fail.
type endpoint func(*call) error

// handle makes an endpoint an http.HandlerFunc. Whatever the call was admitted for is given back when it returns.
func (s *Server) handle(serve endpoint) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeoutCause(r.Context(), s.Timeout, errTimeout)
		defer cancel()
		bytes, _ := s.buffers.enter(0)
		c := &call{Server: s, w: w, r: r, ctx: ctx, entry: entryOf(r), bytes: bytes}
		defer func() {
			c.bytes.leave()
			if c.work != nil {
				c.work.leave()
			}
		}()
		if err := serve(c); err != nil {
			c.fail(err)
		}
	}
}

// refused is an error as the client sees it, counted and noted for the log.
func (c *call) refused(err error) *refusal {
	p := refusalOf(err)
	p.Fault, p.Hint = printable.Text(p.Fault), printable.Text(p.Hint) // they may quote what a stranger sent
	p.ID = c.entry.id
	c.entry.kind = p.Kind.name
	c.entry.note(slog.String("error", p.Fault))
	if p.Cause != nil {
		c.entry.note(slog.String("cause", p.Cause.Error()))
	}
	c.metrics.refused(c.entry.protocol, p.Kind.name)
	return p
}

// fail answers with an error.
func (c *call) fail(err error) {
	if c.entry.protocol == overGRPC {
		c.grpc.err = err
		c.dispatch()
		return
	}
	p := c.refused(err)
	h := c.w.Header()
	if p.After > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(p.After.Seconds()))))
	}
	text := append(p.text(strings.HasPrefix(c.r.URL.Path, "/v2")), '\n')
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(text)))
	c.w.WriteHeader(p.Kind.status)
	_ = c.write(text) // a client that is gone is not told
}

// pathModel finds the model that a URL names, in its version, which is always 1.
func (c *call) pathModel() (*model, error) {
	return c.versioned(c.r.PathValue("model"), c.r.PathValue("version"))
}

// versioned finds a model in a version; "" is the one there is.
func (c *call) versioned(name, version string) (*model, error) {
	m, err := c.model(name)
	if err != nil {
		return nil, err
	}
	if version != "" && version != modelVersion {
		return nil, refuse(notFound, "leave the version out, or ask for "+modelVersion,
			"%s has no version %q", m.name, clip(version))
	}
	c.entry.note(slog.String("model", m.name))
	return m, nil
}

// admit takes so many images of a model up to a layer into the queue, by their cost.
func (c *call) admit(m *model, layer string, images int) error {
	return c.enterWork(int64(images) * m.costUntil(layer))
}

// enterWork admits work by its multiply-accumulates.
func (c *call) enterWork(cost int64) error {
	l := c.loaded.Load()
	if l == nil { // closed meanwhile
		return errClosed
	}
	work, err := l.work.enter(cost)
	if err != nil {
		return err
	}
	c.work = work
	return nil
}

// compute has images computed in a batch with others'. The work must have been admitted; expected says that the batcher
// was told.
func (c *call) compute(m *model, layer string, images *tensor.Tensor, expected bool) (*tensor.Tensor, error) {
	a, err := m.batches.do(c.ctx, layer, images, expected)
	c.work.leave() // a slow reader of the answer keeps nobody from computing
	if err != nil {
		return nil, err
	}
	c.spend("queue", a.waited)
	c.spend("network", a.took)
	c.entry.note(slog.Int("images", images.N), slog.Int("batch", a.batch))
	c.metrics.queued(m.name, a.waited)
	return a.out, nil
}

func (c *call) spend(on string, took time.Duration) { c.timings = append(c.timings, timing{on, took}) }

// write writes a part of an answer. The client must take the next bytes before it stalls, and all of them before the
// request's time is over; at the end of that there is still time for an answer which it takes at once.
func (c *call) write(part []byte) error {
	const piece = 64 << 10
	end, _ := c.ctx.Deadline()
	if last := time.Now().Add(c.Stall); end.Before(last) {
		end = last
	}
	for len(part) > 0 {
		until := time.Now().Add(c.Stall)
		if end.Before(until) {
			until = end
		}
		_ = http.NewResponseController(c.w).SetWriteDeadline(until) // a recorder in a test has none
		n, err := c.w.Write(part[:min(len(part), piece)])
		if err != nil {
			return err
		}
		part = part[n:]
	}
	return nil
}

// answer writes an answer.
func (c *call) answer(contentType string, status int, parts ...[]byte) error {
	n := 0
	for _, part := range parts {
		n += len(part)
	}
	h := c.w.Header()
	if len(c.timings) > 0 {
		var timing []string
		for _, s := range c.timings {
			timing = append(timing, fmt.Sprintf("%s;dur=%.3f", s.on, 1000*s.took.Seconds()))
			c.entry.note(slog.Float64(s.on+"_seconds", s.took.Seconds()))
		}
		h.Set("Server-Timing", strings.Join(timing, ", "))
	}
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(n))
	c.w.WriteHeader(status)
	for _, part := range parts {
		if err := c.write(part); err != nil {
			c.entry.kind = clientGone.name // the status is on its way, or not: nobody reads it
			return nil
		}
	}
	return nil
}

// answerJSON answers with a value that marshals.
func (c *call) answerJSON(status int, v any) error {
	text, err := json.Marshal(v)
	var unsupported *json.UnsupportedValueError
	if errors.As(err, &unsupported) {
		return refuse(notFinite, "vggo's library tells such values as they are",
			"the answer holds %s, which JSON cannot", unsupported.Str)
	}
	if err != nil {
		return err
	}
	return c.answer("application/json", status, text, []byte("\n"))
}

// readBody reads a request's body. Memory is taken as it arrives and counted before: a client that announces much and
// sends little holds little.
func (c *call) readBody() ([]byte, error) {
	if encoding := c.r.Header.Get("Content-Encoding"); encoding != "" && c.r.ContentLength <= c.MaxBody {
		return nil, refuse(unsupportedType, "send it as it is", "a body in Content-Encoding %q is not read", clip(encoding))
	}
	return c.readAll(c.r.Body, c.r.ContentLength)
}

// readAll reads what is announced of a body; -1: to its end.
func (c *call) readAll(from io.Reader, announced int64) (body []byte, err error) {
	defer func(start time.Time) { c.spend("body", time.Since(start)) }(time.Now())
	if announced > c.MaxBody {
		return nil, c.tooLarge(announced)
	}
	const first = 64 << 10
	for {
		if len(body) == cap(body) {
			size := max(first, 2*int64(cap(body)))
			if announced >= 0 {
				size = min(size, announced+1) // one more shows the end
			}
			size = min(size, c.MaxBody+1)
			if size <= int64(len(body)) {
				return nil, c.tooLarge(size)
			}
			if err := c.bytes.add(size); err != nil {
				c.discard()
				return nil, err
			}
			held := int64(cap(body))
			body = append(make([]byte, 0, size), body...)
			c.bytes.give(held)
		}
		c.patience()
		n, err := from.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, c.broken(err)
		}
	}
	_ = http.NewResponseController(c.w).SetReadDeadline(time.Time{})
	return slices.Clip(body), nil
}

// patience gives the next bytes of a body their time.
func (c *call) patience() {
	until := time.Now().Add(c.Stall)
	if end, ok := c.ctx.Deadline(); ok && end.Before(until) {
		until = end
	}
	_ = http.NewResponseController(c.w).SetReadDeadline(until)
}

// discard reads what is left of a body, within the limit, so that a client which is still sending comes to read the
// answer.
func (c *call) discard() {
	if c.r.ProtoMajor > 1 { // a stream of HTTP/2 reads answers while it sends
		return
	}
	buffer := make([]byte, 16<<10)
	for left := c.MaxBody; left > 0; {
		c.patience()
		n, err := c.r.Body.Read(buffer)
		if err != nil {
			break
		}
		left -= int64(n)
	}
	_ = http.NewResponseController(c.w).SetReadDeadline(time.Time{})
}

func (c *call) tooLarge(size int64) error {
	c.hangUp() // rather than reading it all
	return refuse(tooLarge, "send less at once; the server's --max-body raises "+
		"the limit", "a body of %d bytes or more is refused: the limit is %d", size, c.MaxBody)
}

// hangUp closes the connection after the answer. One of HTTP/2 goes on: its other streams have nothing to do with it.
func (c *call) hangUp() {
	if c.r.ProtoMajor == 1 {
		c.w.Header().Set("Connection", "close")
	}
}

// broken is a body that did not arrive.
func (c *call) broken(err error) error {
	c.hangUp()
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		return refuse(slowBody, "send it faster", "the body did not arrive in time")
	}
	return &refusal{Kind: bodyEnded, Fault: "the body ended early",
		Hint: "send as much as Content-Length says", Cause: err}
}
