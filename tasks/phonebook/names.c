/* Names of people: a first name, an initial, and a noun of the word list as surname.
 * There are some hundred thousand, so that a book of a million tokens has no name twice. */
#include "tasks/phonebook/run.h"
#include "tasks/ruler/words.h"

#include <stdio.h>

static const char *const first[] = {
    "Adam",   "Alice", "Amir",   "Anna",  "Arthur", "Barbara", "Ben",    "Carla", "Carlos", "Clara",
    "Daniel", "Diana", "David",  "Edith", "Elena",  "Emil",    "Emma",   "Eric",  "Fatima", "Felix",
    "Fiona",  "Frank", "George", "Grace", "Hannah", "Harry",   "Helen",  "Henry", "Hugo",   "Ida",
    "Igor",   "Irene", "Ivan",   "Jack",  "James",  "Jane",    "Jonas",  "Julia", "Karen",  "Karl",
    "Kenji",  "Laura", "Leo",    "Linda", "Lucas",  "Lucy",    "Maria",  "Mark",  "Martha", "Max",
    "Michel", "Mina",  "Nadia",  "Nina",  "Noah",   "Olga",    "Oliver", "Oscar", "Paul",   "Peter",
    "Rachel", "Rita",  "Robert", "Rosa",  "Ruth",   "Samuel",  "Sara",   "Simon", "Sofia",  "Susan",
    "Thomas", "Vera",  "Victor", "Viola", "Walter", "Wendy",   "Yusuf",  "Zoe"};

enum { FIRST = sizeof first / sizeof *first, INITIALS = 26 };

uint64_t phonebook_names(void)
{
    return FIRST * INITIALS * words_nouns();
}

void phonebook_name(uint64_t index, char out[PHONEBOOK_NAME])
{
    char noun[WORD_TEXT];
    words_single_at(words_single() - 1 - index / (FIRST * INITIALS), noun);
    noun[0] = (char)(noun[0] - 'a' + 'A');
    snprintf(out, PHONEBOOK_NAME, "%s %c. %.50s", first[index % FIRST], (char)('A' + index / FIRST % INITIALS),
             noun);
}
