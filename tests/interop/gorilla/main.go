// Ends of WebSockets that gorilla/websocket owns: told what to do, telling what they hear, a line of
// JSON each way, as end.mjs does. `main client` connects one for each `open`; `main server` serves
// one for each, at the path with its name.
package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// Frames of a message that is larger are cut at this many bytes.
const buffer = 1024

type order struct {
	End          string   `json:"end"`
	Do           string   `json:"do"`
	URL          string   `json:"url"`
	Subprotocols []string `json:"subprotocols"`
	Deflate      bool     `json:"deflate"`
	Echo         bool     `json:"echo"`
	Data         []byte   `json:"data"`
	Binary       bool     `json:"binary"`
	Fin          bool     `json:"fin"`
	Code         int      `json:"code"`
	Reason       string   `json:"reason"`
}

type fields map[string]any

var stdout sync.Mutex

func tell(end, event string, more fields) {
	line := fields{"end": end, "event": event}
	for name, value := range more {
		line[name] = value
	}
	stdout.Lock()
	defer stdout.Unlock()
	json.NewEncoder(os.Stdout).Encode(line)
}

// One connection; writing is guarded, as an echo and an order may meet.
type end struct {
	name   string
	conn   *websocket.Conn
	echo   bool
	lock   sync.Mutex
	writer io.WriteCloser
}

func soon() time.Time { return time.Now().Add(5 * time.Second) }

func kind(binary bool) int {
	if binary {
		return websocket.BinaryMessage
	}
	return websocket.TextMessage
}

func (e *end) follow() {
	answer := e.conn.PingHandler()
	e.conn.SetPingHandler(func(data string) error {
		tell(e.name, "ping", fields{"data": []byte(data)})
		return answer(data)
	})
	e.conn.SetPongHandler(func(data string) error {
		tell(e.name, "pong", fields{"data": []byte(data)})
		return nil
	})
	for {
		opcode, data, err := e.conn.ReadMessage()
		if err != nil {
			told := fields{"code": websocket.CloseAbnormalClosure}
			if closed, ok := err.(*websocket.CloseError); ok {
				told = fields{"code": closed.Code, "reason": closed.Text}
			} else {
				told["error"] = err.Error()
			}
			e.conn.Close()
			tell(e.name, "close", told)
			return
		}
		tell(e.name, "message", fields{"data": data, "binary": opcode == websocket.BinaryMessage})
		if e.echo {
			e.lock.Lock()
			e.conn.WriteMessage(opcode, data)
			e.lock.Unlock()
		}
	}
}

func (e *end) send(o order) {
	e.lock.Lock()
	defer e.lock.Unlock()
	if e.writer == nil {
		e.writer, _ = e.conn.NextWriter(kind(o.Binary))
	}
	e.writer.Write(o.Data)
	if o.Fin {
		e.writer.Close()
		e.writer = nil
	}
}

func (e *end) obey(o order) {
	switch o.Do {
	case "send":
		e.send(o)
	case "ping":
		e.conn.WriteControl(websocket.PingMessage, o.Data, soon())
	case "pong":
		e.conn.WriteControl(websocket.PongMessage, o.Data, soon())
	case "close":
		var payload []byte
		if o.Code != 0 {
			payload = websocket.FormatCloseMessage(o.Code, o.Reason)
		}
		e.conn.WriteControl(websocket.CloseMessage, payload, soon())
	case "terminate":
		e.conn.UnderlyingConn().Close()
	}
}

var (
	ends    = map[string]*end{}
	waiting = map[string]order{}
	lock    sync.Mutex
)

func add(e *end) {
	lock.Lock()
	ends[e.name] = e
	lock.Unlock()
	go e.follow()
}

func dial(o order) {
	dialer := websocket.Dialer{
		Subprotocols:      o.Subprotocols,
		EnableCompression: o.Deflate,
		WriteBufferSize:   buffer,
	}
	conn, response, err := dialer.Dial(o.URL, nil)
	if err != nil {
		status := 0
		if response != nil {
			status = response.StatusCode
		}
		tell(o.End, "refused", fields{"status": status, "error": err.Error()})
		return
	}
	extensions := response.Header.Get("Sec-Websocket-Extensions")
	tell(o.End, "open", fields{"protocol": conn.Subprotocol(), "extensions": extensions})
	add(&end{name: o.End, conn: conn, echo: o.Echo})
}

func accept(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Path[1:]
	lock.Lock()
	o := waiting[name]
	delete(waiting, name)
	lock.Unlock()
	upgrader := websocket.Upgrader{
		Subprotocols:      o.Subprotocols,
		EnableCompression: o.Deflate,
		WriteBufferSize:   buffer,
	}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	offered := r.Header.Get("Sec-Websocket-Extensions")
	tell(name, "open", fields{"protocol": conn.Subprotocol(), "extensions": offered})
	add(&end{name: name, conn: conn, echo: o.Echo})
}

func main() {
	open := dial
	if os.Args[1] == "server" {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		go http.Serve(listener, http.HandlerFunc(accept))
		port := listener.Addr().(*net.TCPAddr).Port
		open = func(o order) {
			lock.Lock()
			waiting[o.End] = o
			lock.Unlock()
			tell(o.End, "listening", fields{"port": port})
		}
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var o order
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			panic(err)
		}
		if o.Do == "open" {
			open(o)
			continue
		}
		lock.Lock()
		e := ends[o.End]
		lock.Unlock()
		e.obey(o)
	}
}
