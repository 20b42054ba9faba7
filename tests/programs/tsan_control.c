/* tsan_control.c - a race, for tsan/control.sh: a ThreadSanitizer that does not see it sees
 * none.
 */
#include <pthread.h>
#include <stdio.h>

static int counter;

static void *count(void *unused)
{
    (void)unused;
    for (int i = 0; i < 100000; i++)
        counter++;
    return NULL;
}

int main(void)
{
    pthread_t other;
    if (pthread_create(&other, NULL, count, NULL) != 0)
        return 1;
    count(NULL);
    pthread_join(other, NULL);
    printf("%d\n", counter);
    return 0;
}
