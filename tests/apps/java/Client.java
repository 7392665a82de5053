// PORT REQUESTS CONNECTIONS keep|new LOG
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

public class Client {
    static final String[] METHODS = {"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"};
    static final int[] STATUSES = {200, 201, 204, 304, 404, 500};

    public static void main(String[] args) throws Exception {
        int requests = Integer.parseInt(args[1]), connections = Integer.parseInt(args[2]);
        List<String> lines = Collections.synchronizedList(new ArrayList<>());
        List<Thread> threads = new ArrayList<>();
        for (int first = 0; first < connections; first++) {
            int begin = first;
            Thread thread = new Thread(() -> {
                try {
                    HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
                    for (int i = begin; i < requests; i += connections) {
                        String method = METHODS[i % 7];
                        String path = "/s/" + STATUSES[i % 6] + "/" + (long) i * 7919 % 4000 + "/" + (i % 5 == 0 ? "c" : "l") + "/" + i;
                        boolean with = method.equals("POST") || method.equals("PUT") || method.equals("PATCH");
                        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + args[0] + path))
                            .method(method, with ? HttpRequest.BodyPublishers.ofString("b".repeat(i % 300)) : HttpRequest.BodyPublishers.noBody());
                        long start = System.nanoTime();
                        HttpResponse<byte[]> answer = client.send(request.build(), HttpResponse.BodyHandlers.ofByteArray());
                        double seconds = (System.nanoTime() - start) / 1e9;
                        lines.add(method + " " + path + " " + answer.statusCode() + " " + answer.body().length + " " + String.format("%.6f", seconds) + "\n");
                    }
                } catch (Exception e) {
                    throw new RuntimeException(e);
                }
            });
            thread.start();
            threads.add(thread);
        }
        for (Thread thread : threads) thread.join();
        Files.writeString(Path.of(args[4]), String.join("", lines));
        System.exit(0);
    }
}
