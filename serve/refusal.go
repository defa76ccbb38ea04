package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/vggo/vggo"
)

// kind is of a refusal: its name, for programs and metrics, and the status of the answer, over HTTP and over gRPC.
type kind struct {
	name   string
	status int
	code   codes.Code
}

func (k kind) MarshalText() ([]byte, error) { return []byte(k.name), nil }

var (
	badRequest      = kind{"bad_request", http.StatusBadRequest, codes.InvalidArgument}
	badJSON         = kind{"bad_json", http.StatusBadRequest, codes.InvalidArgument}
	badTensor       = kind{"bad_tensor", http.StatusBadRequest, codes.InvalidArgument}
	badImage        = kind{"bad_image", http.StatusUnprocessableEntity, codes.InvalidArgument}
	notFinite       = kind{"not_finite", http.StatusUnprocessableEntity, codes.InvalidArgument}
	unsupportedType = kind{"unsupported_type", http.StatusUnsupportedMediaType, codes.Unimplemented}
	tooLarge        = kind{"too_large", http.StatusRequestEntityTooLarge, codes.ResourceExhausted}
	slowBody        = kind{"slow_body", http.StatusRequestTimeout, codes.DeadlineExceeded}
	notFound        = kind{"not_found", http.StatusNotFound, codes.NotFound}
	notThere        = kind{"not_found", http.StatusNotFound, codes.Unimplemented} // gRPC's word for an unknown call
	forbidden       = kind{"forbidden", http.StatusForbidden, codes.PermissionDenied}
	method          = kind{"method", http.StatusMethodNotAllowed, codes.Unimplemented}
	busy            = kind{"busy", http.StatusTooManyRequests, codes.ResourceExhausted}
	loading         = kind{"loading", http.StatusServiceUnavailable, codes.Unavailable}
	stopping        = kind{"stopping", http.StatusServiceUnavailable, codes.Unavailable}
	timeout         = kind{"timeout", http.StatusGatewayTimeout, codes.DeadlineExceeded}
	internal        = kind{"internal", http.StatusInternalServerError, codes.Internal}
	bodyEnded       = kind{"client_gone", http.StatusBadRequest, codes.InvalidArgument}
	// 499 is nginx's status for a client that did not wait; it is only logged.
	clientGone = kind{"client_gone", 499, codes.Canceled}
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
		nan  *vggo.NaNError
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
	case errors.As(err, &nan): // its error names a file
		return &refusal{Kind: notFinite, Fault: nan.What + " of " + nan.Network + " is NaN", Cause: err,
			Hint: "it needs other weights, which only who runs the server can give it"}
	case errors.Is(err, errClosed):
		return &refusal{Kind: stopping, Fault: err.Error(),
			Hint: "try again: another instance may answer", After: time.Second}
	case errors.Is(err, errTimeout), errors.Is(err, context.DeadlineExceeded): // the server's, the client's
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
	text, _ := json.Marshal(struct {
		Fault string `json:"error"`
	}{p.whole()})
	return text
}

// whole is the fault and the hint.
func (p *refusal) whole() string {
	if p.Hint == "" {
		return p.Fault
	}
	return p.Fault + "; " + p.Hint
}
