/* acl - does what the lines that `topics --acls` prints would do; for the end-to-end tests.
 *
 *   acl BROKER < lines        kafka-acls.sh ... --allow-principal P --operation O...
 * --topic|--group N
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <librdkafka/rdkafka.h>

enum { TIMEOUT_MS = 10000, OPERATIONS = 4 };

static void
die(const char *what, const char *why)
{
    fprintf(stderr, "acl: %s: %s\n", what, why);
    exit(1);
}

static rd_kafka_AclOperation_t
operation_of(const char *name)
{
    if (strcmp(name, "Read") == 0) return RD_KAFKA_ACL_OPERATION_READ;
    if (strcmp(name, "Write") == 0) return RD_KAFKA_ACL_OPERATION_WRITE;
    if (strcmp(name, "Describe") == 0) return RD_KAFKA_ACL_OPERATION_DESCRIBE;
    die("operation", name);
    return RD_KAFKA_ACL_OPERATION_UNKNOWN;
}

static void
create(rd_kafka_t *rk, rd_kafka_ResourceType_t type, const char *name, const char *principal,
       rd_kafka_AclOperation_t operation)
{
    char                   why[256];
    size_t                 count = 0;
    rd_kafka_queue_t      *queue = rd_kafka_queue_new(rk);
    rd_kafka_AclBinding_t *ab =
        rd_kafka_AclBinding_new(type, name, RD_KAFKA_RESOURCE_PATTERN_LITERAL, principal, "*",
                                operation, RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW, why, sizeof why);
    if (!ab) die(name, why);
    rd_kafka_CreateAcls(rk, &ab, 1, NULL, queue);
    rd_kafka_event_t *ev = rd_kafka_queue_poll(queue, TIMEOUT_MS);
    if (!ev) die(name, "no answer");
    if (rd_kafka_event_error(ev)) die(name, rd_kafka_event_error_string(ev));
    const rd_kafka_acl_result_t **res =
        rd_kafka_CreateAcls_result_acls(rd_kafka_event_CreateAcls_result(ev), &count);
    const rd_kafka_error_t *error = count == 1 ? rd_kafka_acl_result_error(res[0]) : NULL;
    if (error) die(name, rd_kafka_error_string(error));
    rd_kafka_event_destroy(ev);
    rd_kafka_AclBinding_destroy(ab);
    rd_kafka_queue_destroy(queue);
}

static void
take_line(rd_kafka_t *rk, char *line)
{
    const char             *principal = "", *name = "";
    rd_kafka_AclOperation_t operation[OPERATIONS];
    size_t                  count = 0;
    rd_kafka_ResourceType_t type = RD_KAFKA_RESOURCE_UNKNOWN;
    for (char *word = strtok(line, " \n"); word; word = strtok(NULL, " \n")) {
        if (strcmp(word, "--allow-principal") == 0) principal = strtok(NULL, " \n");
        if (strcmp(word, "--operation") == 0 && count < OPERATIONS)
            operation[count++] = operation_of(strtok(NULL, " \n"));
        if (strcmp(word, "--topic") == 0 || strcmp(word, "--group") == 0) {
            type = word[2] == 't' ? RD_KAFKA_RESOURCE_TOPIC : RD_KAFKA_RESOURCE_GROUP;
            name = strtok(NULL, " \n");
        }
    }
    for (size_t i = 0; i < count; i++)
        create(rk, type, name, principal, operation[i]);
}

int
main(int argc, char **argv)
{
    char             line[4096], why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (argc != 2) die("usage", "acl BROKER < lines");
    if (rd_kafka_conf_set(conf, "bootstrap.servers", argv[1], why, sizeof why)) die(argv[1], why);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    if (!rk) die("client", why);
    while (fgets(line, sizeof line, stdin))
        take_line(rk, line);
    rd_kafka_destroy(rk);
    return 0;
}
