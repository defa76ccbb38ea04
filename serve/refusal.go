package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// kind is of a refusal: its name, for programs and metrics, and the status of the answer.
type kind struct {
	name   string
	status int
}

func (k kind) MarshalText() ([]byte, error) { return []byte(k.name), nil }

var (
	badRequest      = kind{"bad_request", http.StatusBadRequest}
	badJSON         = kind{"bad_json", http.StatusBadRequest}
	badTensor       = kind{"bad_tensor", http.StatusBadRequest}
	badImage        = kind{"bad_image", http.StatusUnprocessableEntity}
	notFinite       = kind{"not_finite", http.StatusUnprocessableEntity}
	unsupportedType = kind{"unsupported_type", http.StatusUnsupportedMediaType}
	tooLarge        = kind{"too_large", http.StatusRequestEntityTooLarge}
	slowBody        = kind{"slow_body", http.StatusRequestTimeout}
	notFound        = kind{"not_found", http.StatusNotFound}
	forbidden       = kind{"forbidden", http.StatusForbidden}
	method          = kind{"method", http.StatusMethodNotAllowed}
	busy            = kind{"busy", http.StatusTooManyRequests}
	loading         = kind{"loading", http.StatusServiceUnavailable}
	stopping        = kind{"stopping", http.StatusServiceUnavailable}
	timeout         = kind{"timeout", http.StatusGatewayTimeout}
	internal        = kind{"internal", http.StatusInternalServerError}
	clientGone      = kind{"client_gone", 499} // nginx's status for a client that did not wait; it is only logged
	bodyEnded       = kind{"client_gone", http.StatusBadRequest}
)

// refusal is an error as a client sees it.
type refusal struct {
	Kind  kind          `json:"kind"`
	Fault string        `json:"error"`          // what is wrong, in the field that the Open Inference Protocol gives it
	Hint  string        `json:"hint,omitempty"` // how to mend it
	ID    string        `json:"request_id"`     // of the request, as in the log
	After time.Duration `json:"-"`              // when to try again; 0: no use
	Cause error         `json:"-"`              // for the log alone
}

func (p *refusal) Error() string { return p.Fault }
func (p *refusal) Unwrap() error { return p.Cause }

// errClosed is a batcher's that takes no more.
var errClosed = errors.New("the server is stopping")

// errTimeout is the cause of a request's context that ran out of time.
var errTimeout = errors.New("out of time")

// errDecodeTime is the same of a picture's.
var errDecodeTime = errors.New("it takes too long to decode")

// refuse is a refusal of a request that is wrong.
func refuse(k kind, hint, format string, args ...any) *refusal {
	return &refusal{Kind: k, Hint: hint, Fault: fmt.Sprintf(format, args...)}
}

// refusalOf makes a refusal of any error.
func refusalOf(err error) *refusal {
	var (
		told *refusal
		full *fullError
		cost *costError
	)
	switch {
	case errors.As(err, &told):
		p := *told
		return &p
	case errors.As(err, &full):
		return &refusal{Kind: busy, Fault: full.Error(),
			Hint: "try again after the seconds in Retry-After", After: max(full.After, time.Second)}
	case errors.As(err, &cost):
		return refuse(tooLarge, "ask for fewer images at once, or for a smaller layer", "%v", cost)
	case errors.Is(err, errClosed):
		return &refusal{Kind: stopping, Fault: err.Error(),
			Hint: "try again: another instance may answer", After: time.Second}
	case errors.Is(err, errTimeout):
		return &refusal{Kind: timeout,
			Fault: "the request ran out of time before its answer was computed", Hint: "try again later, or with fewer images",
			After: time.Second}
	case errors.Is(err, context.Canceled):
		return &refusal{Kind: clientGone, Fault: "the client did not wait"}
	}
	return &refusal{Kind: internal, Fault: "something went wrong in the server",
		Hint: "its log tells more under this request_id", Cause: err}
}

// text is the refusal as JSON. The Open Inference Protocol's error object has one member, which then holds the hint
// too.
func (p *refusal) text(protocol bool) []byte {
	if !protocol {
		text, _ := json.Marshal(p) // strings
		return text
	}
	fault := p.Fault
	if p.Hint != "" {
		fault += "; " + p.Hint
	}
	text, _ := json.Marshal(struct {
		Fault string `json:"error"`
	}{fault})
	return text
}
