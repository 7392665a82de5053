// PORT LOG
import com.sun.net.httpserver.HttpServer;
import java.io.FileWriter;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.util.Arrays;
import java.util.concurrent.Executors;

public class Server {
    public static void main(String[] args) throws Exception {
        FileWriter log = new FileWriter(args[1]);
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(args[0])), 256);
        server.createContext("/", exchange -> {
            exchange.getRequestBody().readAllBytes();
            String path = exchange.getRequestURI().getPath(), method = exchange.getRequestMethod();
            String[] part = path.split("/");
            int status = Integer.parseInt(part[2]), size = Integer.parseInt(part[3]);
            boolean silent = status == 204 || status == 304 || method.equals("HEAD");
            boolean chunked = part[4].equals("c");
            int sent = silent ? 0 : size;
            // -1: no body; 0: chunked.
            exchange.sendResponseHeaders(status, silent || sent == 0 ? -1 : chunked ? 0 : sent);
            if (sent > 0) {
                byte[] body = new byte[sent];
                Arrays.fill(body, (byte) 'x');
                try (OutputStream out = exchange.getResponseBody()) {
                    for (int i = 0; i < sent; i += 1000) out.write(body, i, Math.min(1000, sent - i));
                }
            }
            synchronized (log) {
                log.write(method + " " + path + " " + status + " " + sent + "\n");
                log.flush();
            }
            exchange.close();
        });
        server.setExecutor(Executors.newFixedThreadPool(32));
        server.start();
    }
}
