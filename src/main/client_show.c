/*
 * client_show.c: see client_show.h.
 */
#include "main/client_show.h"

#include <stdio.h>

#include "main/commands.h"

int client_show(const struct client_show *show)
{
    CLEANUP(server_address_close) struct server_address address = {0};
    CLEANUP(client_answer_free) struct client_answer answer = {0};
    const char *command = show->usage->command;
    if (!server_address_find(command, show->options, &address)) return STATUS_USAGE;
    if (!client_expect(command, &address, &show->request, &answer)) return STATUS_REFUSED;
    CLEANUP(answer_free) yajl_val tree = answer_parse(answer.body);
    if (show->is_json)
        (void)puts(answer.body);
    else
        show->show(show->self, tree);
    if (show->note != NULL) show->note(tree);
    return fflush(stdout) == 0 ? STATUS_DONE : STATUS_REFUSED;
}

bool client_path(const struct usage *usage, struct client_place place,
                 char path_out[CLIENT_PATH_BYTES_MAX])
{
    struct buffer path = buffer_over(path_out, CLIENT_PATH_BYTES_MAX);
    buffer_put_text(&path, place.before);
    put_path_part(&path, place.part);
    buffer_put_text(&path, place.behind);
    buffer_put_byte(&path, '\0');
    if (!path.overflowed) return true;
    (void)fprintf(stderr, "weir %s: '%.40s...': too long\n", usage->command, place.part);
    return false;
}
