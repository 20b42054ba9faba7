/* pg_link.c - see pg_link.h. */
#include "retrieval/postgres/pg_link.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *option_of(const PQconninfoOption *options, const char *keyword)
{
    for (; options->keyword; options++)
        if (strcmp(options->keyword, keyword) == 0)
            return options->val ? options->val : "";
    return "";
}

fb_status fb_pg_link_name(fb_context *ctx, char **name, const char *conninfo,
                          const char *which)
{
    char *why = NULL;
    PQconninfoOption *options = PQconninfoParse(conninfo, &why);
    if (!options) {
        fb_status status = fb_fail(ctx, FB_E_USAGE,
                                   "%s: not what PostgreSQL connects by, such as "
                                   "postgresql://host/database",
                                   which);
        PQfreemem(why); /* it may quote a password */
        return status;
    }
    const char *host = option_of(options, "host"), *port = option_of(options, "port"),
               *database = option_of(options, "dbname");
    size_t room = strlen(host) + strlen(port) + strlen(database) + 32;
    *name = malloc(room);
    if (*name)
        snprintf(*name, room, "postgresql://%s%s%s%s%s", host, port[0] ? ":" : "", port,
                 database[0] ? "/" : "", database);
    PQconninfoFree(options);
    return *name ? FB_OK : fb_fail(ctx, FB_E_MEMORY, "no memory for a store");
}

/* libpq's text as part of a sentence: its lines one behind the other, but for indented
 * ones, which are advice. */
static void clean(char *out, size_t size, const char *message)
{
    size_t n = 0;
    for (; *message && n + 1 < size; message++) {
        if (message[0] == '\n' && message[1] == '\t') {
            message += strcspn(message + 1, "\n");
            continue;
        }
        char c = *message == '\n' || *message == '\t' ? ' ' : *message;
        if (c != ' ' || (n > 0 && out[n - 1] != ' '))
            out[n++] = c;
    }
    while (n > 0 && out[n - 1] == ' ')
        n--;
    out[n] = 0;
}

fb_status fb_pg_link_fail(fb_context *ctx, fb_pg_link *link, const char *doing)
{
    char said[600];
    clean(said, sizeof said, link->conn ? PQerrorMessage(link->conn) : "");
    return fb_fail(ctx, FB_E_IO, "%s: %s: %s", link->name, doing,
                   said[0] ? said : "no connection");
}

/* What a conninfo does not say itself: to be told of a dead host in seconds. Those
 * behind dbname win over it. */
static const char *const keywords[] = {"connect_timeout",
                                       "tcp_user_timeout",
                                       "keepalives_idle",
                                       "keepalives_interval",
                                       "keepalives_count",
                                       "application_name",
                                       "dbname",
                                       "client_encoding",
                                       NULL};

static void ignore_notice(void *self, const PGresult *notice)
{
    (void)self, (void)notice;
}

fb_status fb_pg_link_connect(fb_context *ctx, fb_pg_link *link)
{
    const char *values[] = {"5",           "10000",        "10",   "5", "3",
                            "fashionbert", link->conninfo, "UTF8", NULL};
    fb_pg_link_close(link);
    link->conn = PQconnectdbParams(keywords, values, 1);
    if (!link->conn)
        return fb_fail(ctx, FB_E_MEMORY, "no memory for a connection");
    PQsetNoticeReceiver(link->conn, ignore_notice, NULL);
    if (PQstatus(link->conn) == CONNECTION_OK)
        return FB_OK;
    fb_status status = fb_pg_link_fail(ctx, link, "the database does not answer");
    fb_pg_link_close(link);
    return status;
}

void fb_pg_link_close(fb_pg_link *link)
{
    PQfinish(link->conn);
    link->conn = NULL;
    link->effort = 0;
    link->exact = false;
}

static fb_status status_of(const char *state)
{
    static const struct {
        const char *begins;
        fb_status status;
    } states[] = {{"42P01", FB_E_MISSING}, {"3F000", FB_E_MISSING},
                  {"22021", FB_E_USAGE},   {"53", FB_E_LIMIT},
                  {"54", FB_E_LIMIT},      {"", FB_E_IO}};
    int i = 0;
    while (strncmp(state, states[i].begins, strlen(states[i].begins)) != 0)
        i++;
    return states[i].status;
}

/* Failed results become a sentence, and are cleared. */
static fb_status check(fb_context *ctx, fb_pg_link *link, PGresult **result)
{
    ExecStatusType type = PQresultStatus(*result);
    if (type == PGRES_TUPLES_OK || type == PGRES_COMMAND_OK || type == PGRES_COPY_IN ||
        type == PGRES_EMPTY_QUERY)
        return FB_OK;
    const char *state = PQresultErrorField(*result, PG_DIAG_SQLSTATE);
    const char *primary = PQresultErrorField(*result, PG_DIAG_MESSAGE_PRIMARY);
    char said[600];
    fb_status status;
    if (!fb_pg_link_is_up(link) || !state) {
        status = fb_pg_link_fail(ctx, link, "the connection broke");
    } else {
        clean(said, sizeof said, primary ? primary : "");
        status = fb_fail(ctx, status_of(state), "%s: %s (SQLSTATE %s)", link->name,
                         said, state);
    }
    PQclear(*result);
    *result = NULL;
    return status;
}

fb_status fb_pg_link_run(fb_context *ctx, fb_pg_link *link, const char *sql,
                         const fb_pg_parameters *p, PGresult **result)
{
    *result = NULL;
    if (!link->conn)
        return fb_pg_link_fail(ctx, link, "not connected");
    *result = p ? PQexecParams(link->conn, sql, p->count, NULL, p->values, p->lengths,
                               p->formats, 0)
                : PQexec(link->conn, sql);
    if (!*result)
        return fb_pg_link_fail(ctx, link, "a statement could not be sent");
    return check(ctx, link, result);
}

fb_status fb_pg_link_do(fb_context *ctx, fb_pg_link *link, const char *sql)
{
    PGresult *result;
    FB_TRY(fb_pg_link_run(ctx, link, sql, NULL, &result));
    PQclear(result);
    return FB_OK;
}

fb_status fb_pg_link_send(fb_context *ctx, fb_pg_link *link, const char *sql,
                          const fb_pg_parameters *p)
{
    if (!link->conn)
        return fb_pg_link_fail(ctx, link, "not connected");
    int sent = p ? PQsendQueryParams(link->conn, sql, p->count, NULL, p->values,
                                     p->lengths, p->formats, 0)
                 : PQsendQuery(link->conn, sql);
    return sent ? FB_OK : fb_pg_link_fail(ctx, link, "a statement could not be sent");
}

/* The last result counts; an earlier one that failed counts first. */
fb_status fb_pg_link_receive(fb_context *ctx, fb_pg_link *link, PGresult **result)
{
    PGresult *next;
    fb_status status = FB_OK;
    *result = NULL;
    while (link->conn && (next = PQgetResult(link->conn))) {
        if (status != FB_OK) {
            PQclear(next);
            continue;
        }
        PQclear(*result);
        *result = next;
        status = check(ctx, link, result);
        if (status == FB_OK && PQresultStatus(*result) == PGRES_COPY_IN)
            return FB_OK;
    }
    if (status == FB_OK && !*result)
        return fb_pg_link_fail(ctx, link, "the connection broke");
    return status;
}
