/* The form programs of the PR204 family have: dsm.h is all they include, and they return 1. */
#include "dsm.h"

int main(int argc, char **argv)
{
   char *pointer;
   char *current;
   int value, i;
   int pages = argc > 1 ? atoi(argv[1]) : 2;

   pointer = dsm_init(argc,argv);
   current = pointer;

   printf("[%i] Coucou, mon adresse de base est : %p\n", DSM_NODE_ID, pointer);

   if (DSM_NODE_ID == 0)
     {
       current += 4*sizeof(int);
       value = *((int *)current);
       printf("[%i] valeur de l'entier : %i\n", DSM_NODE_ID, value);
     }
   for (i = 0; i < pages && i < PAGE_NUMBER; i++)
     {
       current = (char *)BASE_ADDR + i * PAGE_SIZE;
       if (current >= (char *)TOP_ADDR)
         return 0;
       value = i + 1;
       memcpy(current, &value, sizeof(int));
       printf("page %i : %i\n", i, *((int *)current));
       fflush(stdout);
     }
   dsm_finalize();
   return 1;
}
