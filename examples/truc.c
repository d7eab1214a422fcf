/*
 * truc: shows how a program is started. It prints its working directory, its arguments, and the file that the
 * first argument names. It does not use dsm at all: dsmexec starts any executable.
 *
 *     dsmexec machine_file truc [FILE [ARG...]]
 *
 * Exit code 0, or 1 if the file cannot be read.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int print_file(const char *path)
{
    char line[4096];
    FILE *file = fopen(path, "r");

    if (file == NULL) {
        fprintf(stderr, "truc: cannot open %s: %s\n", path, strerror(errno));
        return 1;
    }
    while (fgets(line, sizeof line, file) != NULL)
        fputs(line, stdout);
    if (ferror(file)) {
        fprintf(stderr, "truc: cannot read %s: %s\n", path, strerror(errno));
        fclose(file);
        return 1;
    }
    fclose(file);
    return 0;
}

int main(int argc, char **argv)
{
    char directory[4096];
    int i;

    if (getcwd(directory, sizeof directory) == NULL) {
        fprintf(stderr, "truc: cannot name the working directory: %s\n", strerror(errno));
        return 1;
    }
    printf("working directory: %s\n", directory);
    printf("number of arguments: %i\n", argc);
    for (i = 0; i < argc; i++)
        printf("argument %i: %s\n", i, argv[i]);

    return argc > 1 ? print_file(argv[1]) : 0;
}
