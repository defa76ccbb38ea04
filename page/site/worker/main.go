//go:build js

// Command worker is the server of a site without a server: package serve as WebAssembly, in a worker of the page, whose
// requests it answers. worker.js starts it.
package main

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"sync"
	"syscall/js"
	"time"

	"github.com/vggo/vggo"
	"github.com/vggo/vggo/page/lesson"
	"github.com/vggo/vggo/page/lesson/fashion"
	"github.com/vggo/vggo/serve"
)

// What the page may take here. There is one client, who waits as long as it takes, and memory that a program of 32 bits
// can have.
const (
	patience = time.Hour
	kept     = 64 << 20
	body     = 512 << 20 // a file of weights
)

func main() {
	desk := &desk{calls: map[int]context.CancelFunc{}}
	js.Global().Call("started", map[string]any{
		"open": js.FuncOf(desk.open), "answer": js.FuncOf(desk.answer), "cancel": js.FuncOf(desk.cancel)})
	select {} // the worker ends it
}

// desk is where the page's questions come in. JavaScript calls one method at a time; what takes long goes on in a
// goroutine, which hands the worker's loop back while it waits.
type desk struct {
	mu     sync.RWMutex // held by requests while server answers them
	server *serve.Server
	calls  map[int]context.CancelFunc
}

// open takes files of weights, [[model, file, bytes], ...], as all that is served from now on, and promises nothing but
// to have done so. An empty name of a model is its network's.
func (d *desk) open(_ js.Value, args []js.Value) any {
	var models []serve.Source
	for i := range args[0].Length() {
		model := args[0].Index(i)
		file, data := model.Index(1).String(), fromJS(model.Index(2))
		models = append(models, serve.Source{Name: model.Index(0).String(), Open: func() (*vggo.Model, error) {
			return vggo.Read(file, data, vggo.Options{Threads: 1})
		}})
	}
	return promise(func() (any, error) {
		server := serve.New(serve.Config{Models: models, Timeout: patience, DecodeTime: patience, Kept: kept, MaxBody: body,
			Training: training})
		if err := server.Load(context.Background()); err != nil {
			return nil, err
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		before := d.server
		d.server = server
		if before == nil {
			return nil, nil
		}
		return nil, before.Close()
	})
}

// training fetches the pictures that a network learns from.
func training() (lesson.Data, error) {
	files, err := await(js.Global().Call("training"))
	if err != nil {
		return lesson.Data{}, err
	}
	return fashion.Read(fromJS(files.Index(0)), fromJS(files.Index(1)))
}

// answer takes a request: number, method, path, content type, body. It promises [status, headers, body].
func (d *desk) answer(_ js.Value, args []js.Value) any {
	id, method, path, kind := args[0].Int(), args[1].String(), args[2].String(), args[3].String()
	sent := fromJS(args[4])
	ctx, cancel := context.WithCancel(context.Background())
	d.calls[id] = cancel
	return promise(func() (any, error) {
		defer func() {
			cancel()
			delete(d.calls, id)
		}()
		r, err := http.NewRequestWithContext(ctx, method, path, bytes.NewReader(sent))
		if err != nil {
			return nil, err
		}
		r.Host = "localhost"
		r.Header.Set("Content-Type", kind)
		a := &answer{header: http.Header{}}
		d.mu.RLock()
		defer d.mu.RUnlock()
		d.server.ServeHTTP(a, r)
		headers := map[string]any{}
		for name := range a.header {
			headers[name] = a.header.Get(name)
		}
		text := js.Global().Get("Uint8Array").New(a.body.Len())
		js.CopyBytesToJS(text, a.body.Bytes())
		return []any{a.status, headers, text}, nil
	})
}

// cancel ends a request that nobody waits for any longer.
func (d *desk) cancel(_ js.Value, args []js.Value) any {
	if cancel := d.calls[args[0].Int()]; cancel != nil {
		cancel()
	}
	return nil
}

// answer is an http.ResponseWriter that keeps what is written.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header    { return a.header }
func (a *answer) WriteHeader(status int) { a.status = status }

func (a *answer) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return a.body.Write(b)
}

// promise is JavaScript's, of what a function returns.
func promise(work func() (any, error)) js.Value {
	var executor js.Func
	executor = js.FuncOf(func(_ js.Value, args []js.Value) any {
		go func() {
			defer executor.Release()
			v, err := work()
			if err != nil {
				args[1].Invoke(js.Global().Get("Error").New(err.Error()))
				return
			}
			args[0].Invoke(v)
		}()
		return nil
	})
	return js.Global().Get("Promise").New(executor)
}

// await waits for what a promise comes to, while the worker's loop goes on.
func await(promise js.Value) (js.Value, error) {
	type outcome struct {
		value js.Value
		err   error
	}
	settled := make(chan outcome, 1)
	yes := js.FuncOf(func(_ js.Value, args []js.Value) any {
		settled <- outcome{value: args[0]}
		return nil
	})
	defer yes.Release()
	no := js.FuncOf(func(_ js.Value, args []js.Value) any {
		settled <- outcome{err: errors.New(args[0].Get("message").String())}
		return nil
	})
	defer no.Release()
	promise.Call("then", yes, no)
	o := <-settled
	return o.value, o.err
}

// fromJS copies bytes; of null there are none.
func fromJS(v js.Value) []byte {
	if v.IsNull() {
		return nil
	}
	b := make([]byte, v.Length())
	js.CopyBytesToGo(b, v)
	return b
}
