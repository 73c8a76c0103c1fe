// How libtorch's threads wait for each other.
//
// GNU's OpenMP, which libtorch's wheels bring, lets threads that wait at the end of a loop spin for milliseconds before
// they sleep. A training step is thousands of short loops; when a data worker or any other process wants the same core,
// each of them is waited for by spinning. On two cores with two busy neighbours a step took more than three times as
// long as with spins of some microseconds; with hardly any, decoding loses a third (Documentation/kernels.md). The
// library reads its setting when it is loaded, before any function of the program, so the program starts itself once
// more with it (30 ms). What the user has set stays.

#if defined(__linux__)

#include <string.h>
#include <unistd.h>

static int is_set(char **environment, const char *name) {
  size_t length = strlen(name);
  for (; *environment != NULL; environment++) {
    if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=') return 1;
  }
  return 0;
}

static void start_with_short_spins(int count, char **arguments, char **environment) {
  (void)count;
  if (is_set(environment, "GOMP_SPINCOUNT") || is_set(environment, "OMP_WAIT_POLICY")) return;
  char program[4096];
  ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
  if (length <= 0) return;
  program[length] = '\0';
  size_t variables = 0;
  while (environment[variables] != NULL) variables++;
  char *with_setting[variables + 2];
  memcpy(with_setting, environment, variables * sizeof *environment);
  with_setting[variables] = "GOMP_SPINCOUNT=10000";
  with_setting[variables + 1] = NULL;
  execve(program, arguments, with_setting);  // returns only where it failed; then the long spins stay
}

// Of a program, and run before the initialisers of the libraries it is linked with.
__attribute__((section(".preinit_array"), used, retain)) static void (*const before_libraries)(int, char **, char **) =
    start_with_short_spins;

#endif
