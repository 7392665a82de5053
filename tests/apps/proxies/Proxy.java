// PORT BACKEND [timeout]: a thread a request; each is passed on, /up/TAG as /down/TAG.
import com.sun.net.httpserver.HttpServer;
import java.net.HttpURLConnection;
import java.net.InetSocketAddress;
import java.net.URL;
import java.util.concurrent.Executors;

public class Proxy {
    public static void main(String[] args) throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(args[0])), 512);
        boolean timeout = args.length > 2;
        server.setExecutor(Executors.newCachedThreadPool());
        server.createContext("/", exchange -> {
            URL url = new URL("http://127.0.0.1:" + args[1] + exchange.getRequestURI().getPath().replace("/up/", "/down/"));
            HttpURLConnection c = (HttpURLConnection) url.openConnection();
            if (timeout) {
                c.setConnectTimeout(30000);
                c.setReadTimeout(30000);
            }
            byte[] body = c.getInputStream().readAllBytes();
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        server.start();
    }
}
