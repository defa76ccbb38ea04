package hub

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	stallAfter   = 30 * time.Second // that bring less than leastBytes, a connection is given up
	leastBytes   = 30 << 10         // 1 KiB a second: less is a server that holds on to whoever waits
	tries        = 6                // in a row that bring less than worthwhile
	worthwhile   = 1 << 20          // bytes that start the count anew; with maxFile they bound all tries
	firstWait    = time.Second      // doubled after each try
	longestWait  = 30 * time.Second // of our own accord
	longestAsked = 5 * time.Minute  // that a server's Retry-After is obeyed for
	maxRedirects = 10
	maxPointer   = 1 << 10 // bytes of a Git LFS pointer, by its specification
)

// newClient goes through the environment's proxies, and to no address that gives up the protection of the first.
func newClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone() // its Proxy is http.ProxyFromEnvironment
	transport.DisableCompression = true                          // lengths and ranges are of the file itself
	return &http.Client{Transport: transport, CheckRedirect: checkRedirect}
}

func checkRedirect(next *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return &redirectError{fmt.Sprintf("%s leads through more than %d redirects", via[0].URL.Host, maxRedirects)}
	}
	if from := via[len(via)-1].URL; from.Scheme == "https" && next.URL.Scheme != "https" {
		return &redirectError{fmt.Sprintf("%s redirects from https to %s://%s: refused", from.Host, next.URL.Scheme,
			next.URL.Host)}
	}
	return nil
}

// redirectError is a redirect that is not followed.
type redirectError struct{ reason string }

func (e *redirectError) Error() string { return e.reason }

// transientError is a fault that may pass.
type transientError struct {
	err   error
	after time.Duration // that the server asks to wait; 0 where it does not say
}

func (e *transientError) Error() string { return e.err.Error() }
func (e *transientError) Unwrap() error { return e.err }

// errStalled cancels a request on whose connection too little moves.
var errStalled = fmt.Errorf("less than %d KiB came in %v", leastBytes>>10, stallAfter)

// interrupted marks a connection's fault as one that may pass; nil stays nil.
func interrupted(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = errors.New("the connection broke off")
	}
	return &transientError{err: err}
}

// statusError is an answer that is not the file.
func statusError(r *http.Response) error {
	err := fmt.Errorf("%s answers %s", r.Request.URL.Host, r.Status)
	switch r.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return &transientError{err, retryAfter(r.Header)}
	}
	return err
}

// retryAfter is how long a server asks to be left alone, in seconds or until a date by its own clock.
func retryAfter(h http.Header) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(text, 10, 32); err == nil {
		return time.Duration(seconds) * time.Second
	}
	until, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return 0
	}
	return max(until.Sub(now), 0)
}

// retry calls do until it succeeds or fails for good. Progress that do reports begins the count of tries anew.
func (p *puller) retry(ctx context.Context, do func() (progress bool, err error)) error {
	wait := firstWait
	for failed := 0; ; {
		progress, err := do()
		if err == nil {
			return nil
		}
		var passing *transientError
		if !errors.As(err, &passing) || ctx.Err() != nil {
			return err
		}
		if progress {
			failed, wait = 0, firstWait
		}
		if failed++; failed == tries {
			return fmt.Errorf("%w (%d tries)", err, tries)
		}
		pause := max(wait, passing.after)
		if pause > longestAsked {
			return fmt.Errorf("%w, and asks to wait for %v", err, pause)
		}
		p.notice(fmt.Sprintf("%v: again in %v", err, pause))
		if err := p.sleep(ctx, pause); err != nil {
			return err
		}
		wait = min(2*wait, longestWait)
	}
}

// get sends one request and hands its answer to receive, which calls arrived with the number of bytes whenever some
// arrive. The request ends when the first answer, or any leastBytes of it, take longer than stallAfter.
func (p *puller) get(ctx context.Context, address string, header http.Header, receive func(r *http.Response,
	arrived func(int)) error) error {
	watched, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := p.newTimer(stallAfter, func() { cancel(errStalled) })
	defer watch.Stop()
	request, err := http.NewRequestWithContext(watched, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	for name, values := range header {
		request.Header[name] = values
	}
	request.Header.Set("User-Agent", "vggo")
	request.Header.Set("Accept-Encoding", "identity")
	response, err := p.client.Do(request)
	if err == nil {
		defer response.Body.Close()
		watch.Reset(stallAfter)
		since := 0
		err = receive(response, func(n int) {
			if since += n; since >= leastBytes {
				since = 0
				watch.Reset(stallAfter)
			}
		})
	} else {
		err = plain(err)
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(context.Cause(watched), errStalled):
		return &transientError{err: errStalled}
	}
	return err
}

// plain takes the address out of a client's error: redirects lead to addresses that carry a signature. What is wrong
// with a redirect, a certificate or a name stays wrong; other faults may pass.
func plain(err error) error {
	var wrapped *url.Error
	if !errors.As(err, &wrapped) {
		return err
	}
	var (
		redirect    *redirectError
		certificate *tls.CertificateVerificationError
		name        *net.DNSError
	)
	cause := wrapped.Err
	if errors.As(cause, &redirect) || errors.As(cause, &certificate) || errors.As(cause, &name) && name.IsNotFound {
		return cause
	}
	return interrupted(cause)
}

// validator is what tells one state of a file from another in If-Range: a strong ETag, else its date.
func validator(h http.Header) string {
	if tag := h.Get("ETag"); len(tag) > 1 && tag[0] == '"' {
		return tag
	}
	return h.Get("Last-Modified")
}

// parseContentRange reads "bytes first-last/total"; total is 0 where it is "*".
func parseContentRange(text string) (first, total int64, err error) {
	malformed := fmt.Errorf("the server sends a part of the file with the range %q", text)
	place, ok := strings.CutPrefix(text, "bytes ")
	if !ok {
		return 0, 0, malformed
	}
	span, length, ok := strings.Cut(place, "/")
	if !ok {
		return 0, 0, malformed
	}
	from, to, _ := strings.Cut(span, "-")
	first, err1 := decimal(from)
	last, err2 := decimal(to)
	var err3 error
	if length != "*" {
		total, err3 = decimal(length)
	}
	if errors.Join(err1, err2, err3) != nil || last < first || length != "*" && last >= total {
		return 0, 0, malformed
	}
	return first, total, nil
}

// decimal reads digits and nothing else.
func decimal(text string) (int64, error) {
	n, err := strconv.ParseUint(text, 10, 63)
	return int64(n), err
}

// parsePointer reads a Git LFS pointer (github.com/git-lfs/git-lfs, docs/spec.md): lines of a key, a space and a value,
// the version first and the others in order.
func parsePointer(text []byte) (Checksum, int64, error) {
	malformed := errors.New("it is no Git LFS pointer")
	if len(text) > maxPointer || !bytes.HasPrefix(text, []byte("version https://git-lfs.github.com/spec/v1\n")) {
		return "", 0, malformed
	}
	var checksum Checksum
	size := int64(-1)
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch {
		case key == "oid" && checksum == "":
			checksum = Checksum(value)
			if algorithm, _, whole, err := checksum.split(); err != nil || !whole || algorithm != "sha256" {
				return "", 0, malformed
			}
		case key == "size" && size < 0:
			var err error
			if size, err = decimal(value); err != nil || size > maxFile {
				return "", 0, malformed
			}
		case key == "oid", key == "size":
			return "", 0, malformed
		}
	}
	if checksum == "" || size < 0 {
		return "", 0, malformed
	}
	return checksum, size, nil
}
