/*
 * dsm.h of the stub library libpeer: the classic part of the interface, as the course has it.
 */
#ifndef DSM_H
#define DSM_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TOP_ADDR 0x40000000
#define PAGE_NUMBER 100
#ifndef PAGE_SIZE
#define PAGE_SIZE 4096
#endif
#define BASE_ADDR (TOP_ADDR - PAGE_NUMBER * PAGE_SIZE)

extern int DSM_NODE_NUM, DSM_NODE_ID;

char *dsm_init(int argc, char **argv);
void dsm_finalize(void);

#endif
