// PORT LOG
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
)

func main() {
	file, err := os.Create(os.Args[2])
	if err != nil {
		panic(err)
	}
	var lock sync.Mutex
	log := bufio.NewWriter(file)
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/echo" {
			w.Write([]byte("hello world\n"))
			return
		}
		part := strings.Split(r.URL.Path, "/")
		status, _ := strconv.Atoi(part[2])
		size, _ := strconv.Atoi(part[3])
		bare := status == 204 || status == 304
		sent := size
		if bare || r.Method == "HEAD" {
			sent = 0
		}
		if !bare && (part[4] != "c" || r.Method == "HEAD") {
			w.Header().Set("Content-Length", part[3])
		}
		w.WriteHeader(status)
		body := bytes.Repeat([]byte("x"), sent)
		for i := 0; i < sent; i += 1000 {
			end := i + 1000
			if end > sent {
				end = sent
			}
			w.Write(body[i:end])
			if part[4] == "c" {
				w.(http.Flusher).Flush()
			}
		}
		lock.Lock()
		fmt.Fprintf(log, "%s %s %d %d\n", r.Method, r.URL.Path, status, sent)
		log.Flush()
		lock.Unlock()
	})
	panic(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
