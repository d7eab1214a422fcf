/* idle: joins and leaves, and touches nothing. */
#include "phases.h"

int main(int argc, char **argv)
{
    join(argc, argv);
    return right(0);
}
