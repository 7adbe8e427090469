/*
 * librdkafka's mock cluster as a process of its own: `kafka-mock PORT…` starts one broker for each port. It reads
 * commands from standard input, one a line, and answers each with a line: `ok`, or the error.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

static int ports[16];
static int port_count;
static int next_port;

/* The mock binds any free port; a cluster that is restored must have its former ports. */
int bind(int fd, const struct sockaddr *address, socklen_t length) {
  struct sockaddr_in own;
  if (address->sa_family != AF_INET || next_port >= port_count)
    return (int)syscall(SYS_bind, fd, address, length);
  int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  memcpy(&own, address, sizeof own);
  own.sin_port = htons((unsigned short)ports[next_port++]);
  return (int)syscall(SYS_bind, fd, &own, sizeof own);
}

static rd_kafka_resp_err_t run(rd_kafka_mock_cluster_t *cluster, const char *line) {
  char topic[256];
  int a, b, c;
  if (sscanf(line, "create %255s %d", topic, &a) == 2)
    return rd_kafka_mock_topic_create(cluster, topic, a, 1);
  if (sscanf(line, "leader %255s %d %d", topic, &a, &b) == 3)
    return rd_kafka_mock_partition_set_leader(cluster, topic, a, b);
  if (sscanf(line, "delay %d", &a) == 1)
    return rd_kafka_mock_broker_set_rtt(cluster, -1, a);
  if (sscanf(line, "down %d", &a) == 1)
    return rd_kafka_mock_broker_set_down(cluster, a);
  if (sscanf(line, "up %d", &a) == 1)
    return rd_kafka_mock_broker_set_up(cluster, a);
  if (sscanf(line, "topic-error %255s %d", topic, &a) == 2) {
    rd_kafka_mock_topic_set_error(cluster, topic, (rd_kafka_resp_err_t)a);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
  }
  if (sscanf(line, "error %d %d %d", &a, &b, &c) == 3) {
    rd_kafka_resp_err_t errors[64];
    for (int i = 0; i < c && i < 64; i++) errors[i] = (rd_kafka_resp_err_t)b;
    rd_kafka_mock_push_request_errors_array(cluster, (int16_t)a, (size_t)c, errors);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
  }
  return RD_KAFKA_RESP_ERR__INVALID_ARG;
}

int main(int argc, char **argv) {
  char message[512], line[512];
  /* The cluster's id is made of an address. Without randomization of addresses a restored cluster has its former id. */
  if (getenv("KAFKA_MOCK_SAME_ID") && !(personality(0xffffffff) & ADDR_NO_RANDOMIZE)) {
    personality(ADDR_NO_RANDOMIZE);
    execv(argv[0], argv);
  }
  for (int i = 1; i < argc && port_count < 16; i++) ports[port_count++] = atoi(argv[i]);
  rd_kafka_t *handle = rd_kafka_new(RD_KAFKA_PRODUCER, NULL, message, sizeof message);
  rd_kafka_mock_cluster_t *cluster = handle ? rd_kafka_mock_cluster_new(handle, port_count) : NULL;
  if (!cluster) {
    fprintf(stderr, "can't start: %s\n", handle ? "the ports are taken" : message);
    return 1;
  }
  printf("%s\n", rd_kafka_mock_cluster_bootstraps(cluster));
  fflush(stdout);
  while (fgets(line, sizeof line, stdin)) {
    rd_kafka_resp_err_t error = run(cluster, line);
    printf("%s\n", error ? rd_kafka_err2str(error) : "ok");
    fflush(stdout);
  }
  return 0;
}
