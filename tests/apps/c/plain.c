/* PORT: one HTTP request by read and write; built as a 32-bit program too. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(atoi(argv[argc - 1])) };
	char request[] = "GET /plain HTTP/1.1\r\nHost: h\r\n\r\n", answer[4096];
	int s = socket(AF_INET, SOCK_STREAM, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (connect(s, (struct sockaddr *)&a, sizeof(a)) || write(s, request, sizeof(request) - 1) < 0)
		return 3;
	return read(s, answer, sizeof(answer)) > 0 ? 0 : 4;
}
