// PORT BACKEND: passes each request on, /up/TAG as /down/TAG.
package main

import (
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
)

func main() {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 512}}
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		answer, err := client.Get("http://127.0.0.1:" + os.Args[2] + strings.Replace(r.URL.Path, "/up/", "/down/", 1))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.Write(body)
	})
	panic(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
