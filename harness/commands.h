#include "harness/base/error.h"
int cmd_train(int argc, char **argv, pal_error *err);
