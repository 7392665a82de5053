// PORT REQUESTS CONNECTIONS keep|new LOG
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

func main() {
	methods := []string{"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"}
	statuses := []int{200, 201, 204, 304, 404, 500}
	requests, _ := strconv.Atoi(os.Args[2])
	connections, _ := strconv.Atoi(os.Args[3])
	client := &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections, DisableKeepAlives: os.Args[4] == "new",
	}}
	var lines []string
	var lock sync.Mutex
	var group sync.WaitGroup
	for first := 0; first < connections; first++ {
		group.Add(1)
		go func(first int) {
			defer group.Done()
			for i := first; i < requests; i += connections {
				method, mode := methods[i%7], "l"
				if i%5 == 0 {
					mode = "c"
				}
				path := fmt.Sprintf("/s/%d/%d/%s/%d", statuses[i%6], i*7919%4000, mode, i)
				var body io.Reader
				if method == "POST" || method == "PUT" || method == "PATCH" {
					body = strings.NewReader(strings.Repeat("b", i%300))
				}
				request, err := http.NewRequest(method, "http://127.0.0.1:"+os.Args[1]+path, body)
				if err != nil {
					panic(err)
				}
				start := time.Now()
				response, err := client.Do(request)
				if err != nil {
					panic(err)
				}
				n, _ := io.Copy(io.Discard, response.Body)
				response.Body.Close()
				line := fmt.Sprintf("%s %s %d %d %.6f\n", method, path, response.StatusCode, n, time.Since(start).Seconds())
				lock.Lock()
				lines = append(lines, line)
				lock.Unlock()
			}
		}(first)
	}
	group.Wait()
	os.WriteFile(os.Args[5], []byte(strings.Join(lines, "")), 0o644)
}
