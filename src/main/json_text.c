/*
 * json_text.c: what JSON wants escaped, and the control character that terminals mind.
 */
#include "main/json_text.h"

void json_put_text(FILE *file, const char *text)
{
    (void)fputc('"', file);
    for (; *text != '\0'; ++text) {
        const unsigned char byte = (unsigned char)*text;
        if (byte == '"' || byte == '\\')
            (void)fprintf(file, "\\%c", byte);
        else if (byte < ' ' || byte == 0x7f)
            (void)fprintf(file, "\\u%04x", byte);
        else
            (void)fputc(byte, file);
    }
    (void)fputc('"', file);
}
