// java Ask.java '{"model": "auto", "messages": [{"role": "user", "content": "What is the capital of France?"}]}'
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

class Ask {
    public static void main(String[] bodies) throws Exception {
        // Offers HTTP/2 with each request, as it does by default; the gateway answers in HTTP/1.1.
        var client = HttpClient.newHttpClient();
        for (var body : bodies) {
            var request = HttpRequest.newBuilder(URI.create("http://127.0.0.1:8080/v1/chat/completions"))
                .header("authorization", "Bearer sk-of-the-gateway")
                .header("content-type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(body))
                .build();
            var answer = client.send(request, HttpResponse.BodyHandlers.ofLines());
            System.out.println(answer.statusCode() + " " + answer.version());
            answer.body().forEach(System.out::println);
        }
    }
}
