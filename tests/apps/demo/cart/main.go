// Carts and what is in stock. Usage: cart PORT PAYMENTS_PORT
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

var (
	mutex sync.Mutex
	carts = map[string][]int{}
	calls = &http.Client{Timeout: 5 * time.Second}
)

func answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("content-type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(value)
}

func main() {
	port, payments := os.Args[1], os.Args[2]
	http.HandleFunc("/stock/", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(time.Duration(rand.Intn(1500)) * time.Microsecond)
		answer(w, 200, map[string]int{"left": rand.Intn(40)})
	})
	http.HandleFunc("/carts/", func(w http.ResponseWriter, r *http.Request) {
		user := strings.TrimPrefix(r.URL.Path, "/carts/")
		mutex.Lock()
		defer mutex.Unlock()
		switch r.Method {
		case http.MethodPut:
			io.Copy(io.Discard, r.Body)
			carts[user] = append(carts[user], rand.Intn(60))
			if len(carts[user]) > 20 {
				carts[user] = nil
			}
			answer(w, 200, carts[user])
		case http.MethodDelete:
			delete(carts, user)
			w.WriteHeader(204)
		default:
			answer(w, 200, append([]int{}, carts[user]...))
		}
	})
	http.HandleFunc("/vouchers/", func(w http.ResponseWriter, r *http.Request) {
		request, err := http.NewRequest("GET", fmt.Sprintf("http://127.0.0.1:%s/vouchers/%s", payments, strings.TrimPrefix(r.URL.Path, "/vouchers/")), nil)
		if err != nil {
			answer(w, 500, map[string]string{"error": err.Error()})
			return
		}
		if trace := r.Header.Get("traceparent"); trace != "" {
			request.Header.Set("traceparent", trace)
		}
		response, err := calls.Do(request)
		if err != nil {
			answer(w, 502, map[string]string{"error": err.Error()})
			return
		}
		defer response.Body.Close()
		w.WriteHeader(response.StatusCode)
		io.Copy(w, response.Body)
	})
	if err := http.ListenAndServe("127.0.0.1:"+port, nil); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
