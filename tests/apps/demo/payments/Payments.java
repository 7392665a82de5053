// Payments, and the bank behind them. Usage: java -jar payments.jar PORT CATALOGUE_PORT

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.InetSocketAddress;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.Executors;
import java.util.concurrent.ThreadLocalRandom;

public class Payments {
    static int catalogue;

    public static void main(String[] args) throws IOException {
        catalogue = Integer.parseInt(args[1]);
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(args[0])), 128);
        server.setExecutor(Executors.newFixedThreadPool(16));
        server.createContext("/charge", Payments::charge);
        server.createContext("/vouchers/", Payments::voucher);
        server.start();
    }

    static void charge(HttpExchange exchange) throws IOException {
        exchange.getRequestBody().readAllBytes();
        ThreadLocalRandom dice = ThreadLocalRandom.current();
        // The price is looked up again: nobody trusts a cart.
        int price = get("/products/" + dice.nextInt(1, 60));
        double kind = dice.nextDouble();
        pause(kind < 0.05 ? dice.nextInt(700, 1500) : dice.nextInt(8, 40));
        if (kind > 0.92 || price >= 500) {
            answer(exchange, 503, "{\"error\": \"the bank does not answer\"}");
        } else {
            answer(exchange, 200, "{\"receipt\": " + dice.nextInt(100_000) + "}");
        }
    }

    static void voucher(HttpExchange exchange) throws IOException {
        String path = exchange.getRequestURI().getPath();
        get("/products/" + (path.length() % 60 + 1));
        answer(exchange, path.endsWith("7") ? 404 : 200, "{\"off\": 10}");
    }

    static int get(String path) throws IOException {
        HttpURLConnection connection = (HttpURLConnection) new URL("http://127.0.0.1:" + catalogue + path).openConnection();
        int status = connection.getResponseCode();
        try (InputStream body = status < 400 ? connection.getInputStream() : connection.getErrorStream()) {
            if (body != null) body.readAllBytes();
        }
        return status;
    }

    static void pause(int millis) {
        try {
            Thread.sleep(millis);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    static void answer(HttpExchange exchange, int status, String text) throws IOException {
        byte[] body = text.getBytes(StandardCharsets.UTF_8);
        exchange.getResponseHeaders().set("content-type", "application/json");
        exchange.sendResponseHeaders(status, body.length);
        exchange.getResponseBody().write(body);
        exchange.close();
    }
}
