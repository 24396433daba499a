/* The word lists, and the pairs made of them.
 * No word stands in both lists, so no single word is in the text of another pair by its half alone. */
#include "tasks/ruler/words.h"

#include <stdio.h>

static const char *const adjectives[] = {
    "able",     "acid",   "active",   "agile",   "airy",     "alert",    "amber",   "ample",   "ancient",
    "angry",    "arid",   "aware",    "awkward", "azure",    "bald",     "bare",    "basic",   "bitter",
    "black",    "bland",  "blank",    "bleak",   "blind",    "blue",     "blunt",   "bold",    "bored",
    "bossy",    "brave",  "breezy",   "brief",   "bright",   "brisk",    "broad",   "broken",  "bronze",
    "brown",    "bulky",  "bumpy",    "burly",   "busy",     "calm",     "candid",  "careful", "cheap",
    "cheerful", "chilly", "chubby",   "civil",   "classic",  "clean",    "clear",   "clever",  "cloudy",
    "clumsy",   "coarse", "cold",     "cool",    "coral",    "cosy",     "crafty",  "creamy",  "crisp",
    "cruel",    "cuddly", "curious",  "curly",   "damp",     "dapper",   "daring",  "dark",    "deaf",
    "dear",     "deep",   "dense",    "dim",     "dizzy",    "double",   "drab",    "dreary",  "dry",
    "dual",     "dull",   "dusty",    "dutiful", "eager",    "early",    "earthy",  "easy",    "elder",
    "elegant",  "empty",  "equal",    "even",    "exact",    "exotic",   "faint",   "fair",    "false",
    "famous",   "fancy",  "fast",     "fatal",   "feisty",   "fickle",   "fierce",  "final",   "fine",
    "firm",     "fixed",  "flaky",    "flat",    "fleet",    "fluffy",   "fond",    "foolish", "formal",
    "frail",    "frank",  "free",     "fresh",   "friendly", "frosty",   "frozen",  "full",    "funny",
    "fuzzy",    "gentle", "giant",    "giddy",   "glad",     "gleaming", "gloomy",  "glossy",  "golden",
    "good",     "grand",  "grateful", "grave",   "great",    "greedy",   "green",   "grim",    "grumpy",
    "gusty",    "handy",  "happy",    "hardy",   "harsh",    "hasty",    "hazy",    "healthy", "heavy",
    "hidden",   "high",   "hollow",   "honest",  "hot",      "huge",     "humble",  "hungry",  "husky",
    "icy",      "ideal",  "idle",     "ill",     "immense",  "inner",    "ivory",   "jagged",  "jolly",
    "jovial",   "juicy",  "keen",     "kind",    "knotty",   "large",    "lasting", "late",    "lavish",
    "lazy",     "lean",   "left",     "level",   "light",    "likely",   "little",  "lively",  "local",
    "lone",     "long",   "loose",    "loud",    "lovely",   "loyal",    "lucky",   "lush",    "mad",
    "magic",    "main",   "major",    "mellow",  "merry",    "mighty",   "mild",    "misty",   "modern",
    "modest",   "moist",  "muddy",    "mute",    "narrow",   "nasty",    "neat",    "new",     "nice",
    "nimble",   "noble",  "noisy",    "novel",   "numb",     "oblong",   "odd",     "oily",    "old",
    "olive",    "open",   "orange",   "outer",   "oval",     "pale",     "past",    "patient", "perfect",
    "perky",    "petite", "pink",     "plain",   "plucky",   "plump",    "polite",  "poor",    "prime",
    "proper",   "proud",  "public",   "pure",    "purple",   "quaint",   "quick",   "quiet",   "rainy",
    "rapid",    "rare",   "raw",      "ready",   "real",     "red",      "regal",   "rich",    "rigid",
    "ripe",     "robust", "rocky",    "roomy",   "rosy",     "rotten",   "rough",   "round",   "royal",
    "ruby",     "rude",   "rural",    "rusty",   "sad",      "safe",     "salty",   "sandy",   "scarce",
    "scarlet",  "secret", "shaggy",   "sharp",   "shiny",    "short",    "shy",     "silent",  "silky",
    "silly",    "silver", "simple",   "single",  "sleepy",   "slender",  "slim",    "slow",    "small",
    "smart",    "smoky",  "smooth",   "snug",    "soft",     "solid",    "sour",    "spare",   "spicy",
    "stale",    "steady", "steep",    "sticky",  "stiff",    "stormy",   "stout",   "strange", "strict",
    "strong",   "sturdy", "subtle",   "sudden",  "sunny",    "super",    "sweet",   "swift",   "tall",
    "tame",     "tangy",  "tart",     "tender",  "tense",    "thick",    "thin",    "thirsty", "tidy",
    "tight",    "tiny",   "tough",    "tricky",  "true",     "vague",    "vast",    "velvet",  "vivid",
    "warm",     "wary",   "weak",     "weary",   "wet",      "white",    "wide",    "wild",    "windy",
    "wise",     "witty",  "wooden",   "woolly",  "young",    "zany",     "zesty",
};
static const char *const nouns[] = {
    "acorn",    "actor",   "airport",  "album",    "alley",    "almond",   "anchor",   "angle",    "ankle",
    "antler",   "anvil",   "apple",    "apron",    "arch",     "armour",   "arrow",    "artist",   "atlas",
    "attic",    "autumn",  "axle",     "badge",    "bagel",    "baker",    "balcony",  "ballad",   "bamboo",
    "banana",   "banner",  "barley",   "barn",     "barrel",   "basin",    "basket",   "beach",    "beacon",
    "beaver",   "beetle",  "bench",    "berry",    "bicycle",  "biscuit",  "bishop",   "blanket",  "blossom",
    "boat",     "bonnet",  "border",   "bottle",   "boulder",  "bowl",     "branch",   "brass",    "bread",
    "brick",    "bridge",  "broom",    "brother",  "bucket",   "buffalo",  "bugle",    "butter",   "button",
    "cabbage",  "cabin",   "cable",    "cactus",   "camel",    "camera",   "canal",    "candle",   "canoe",
    "canvas",   "canyon",  "captain",  "caravan",  "carbon",   "carpet",   "carrot",   "castle",   "cavern",
    "cedar",    "cellar",  "chalk",    "chapel",   "charcoal", "cherry",   "chess",    "chimney",  "cider",
    "circle",   "citrus",  "clarinet", "cliff",    "clock",    "cloud",    "clover",   "coast",    "cobbler",
    "coffee",   "comet",   "compass",  "copper",   "corner",   "cottage",  "cotton",   "cousin",   "cradle",
    "crane",    "crater",  "crayon",   "cricket",  "crown",    "crystal",  "cuckoo",   "cup",      "curtain",
    "cushion",  "daisy",   "dancer",   "decade",   "deer",     "desert",   "desk",     "diamond",  "diary",
    "dinner",   "doctor",  "dolphin",  "donkey",   "door",     "dragon",   "drawer",   "drum",     "eagle",
    "easel",    "echo",    "elbow",    "elm",      "ember",    "emerald",  "engine",   "envelope", "estate",
    "falcon",   "farmer",  "feather",  "fence",    "fern",     "ferry",    "fiddle",   "field",    "finger",
    "flag",     "flame",   "flannel",  "flute",    "forest",   "fossil",   "fountain", "fox",      "galaxy",
    "garden",   "garlic",  "garment",  "gate",     "geyser",   "ginger",   "giraffe",  "glacier",  "glove",
    "goat",     "grape",   "gravel",   "guitar",   "hamlet",   "hammer",   "harbour",  "harvest",  "hatchet",
    "hazel",    "hedge",   "helmet",   "herald",   "heron",    "hill",     "honey",    "hook",     "horizon",
    "hornet",   "horse",   "hospital", "hotel",    "house",    "hunter",   "iceberg",  "igloo",    "insect",
    "island",   "ivy",     "jacket",   "jaguar",   "jasmine",  "jewel",    "jigsaw",   "journal",  "journey",
    "jungle",   "juniper", "kettle",   "key",      "kitchen",  "kite",     "kitten",   "knight",   "ladder",
    "lagoon",   "lake",    "lamp",     "lantern",  "laurel",   "leaf",     "lemon",    "leopard",  "letter",
    "lily",     "linen",   "lion",     "lizard",   "lobster",  "locket",   "lotus",    "lumber",   "lynx",
    "magnet",   "mango",   "mansion",  "maple",    "marble",   "market",   "meadow",   "medal",    "melon",
    "mirror",   "monkey",  "moon",     "moss",     "mountain", "museum",   "mushroom", "napkin",   "needle",
    "nest",     "nettle",  "notebook", "nutmeg",   "oak",      "oasis",    "oboe",     "ocean",    "onion",
    "orchard",  "orchid",  "otter",    "oven",     "owl",      "oyster",   "paddle",   "palace",   "panda",
    "panther",  "paper",   "parade",   "parrot",   "pasture",  "peach",    "peacock",  "pebble",   "pencil",
    "pepper",   "piano",   "picture",  "pigeon",   "pillow",   "pine",     "planet",   "plaza",    "plum",
    "pocket",   "pond",    "pony",     "poppy",    "portrait", "potato",   "pottery",  "prairie",  "pumpkin",
    "puppet",   "puzzle",  "quarry",   "queen",    "quilt",    "rabbit",   "radish",   "raft",     "raven",
    "reef",     "ribbon",  "river",    "robin",    "rocket",   "rope",     "rose",     "saddle",   "sailor",
    "salmon",   "sand",    "satchel",  "saucer",   "scarf",    "school",   "season",   "shadow",   "shell",
    "shepherd", "ship",    "shovel",   "signal",   "sister",   "sketch",   "sled",     "snail",    "spade",
    "sparrow",  "spider",  "spoon",    "spring",   "spruce",   "squirrel", "stable",   "star",     "station",
    "stone",    "store",   "stove",    "stream",   "street",   "summer",   "swan",     "table",    "tailor",
    "temple",   "theatre", "thimble",  "thistle",  "thunder",  "tiger",    "timber",   "tomato",   "tower",
    "trail",    "train",   "tram",     "treasure", "trumpet",  "tulip",    "tunnel",   "turnip",   "turtle",
    "uncle",    "valley",  "vase",     "veil",     "village",  "vine",     "violin",   "volcano",  "waffle",
    "wagon",    "walnut",  "walrus",   "water",    "whale",    "wheat",    "whistle",  "willow",   "window",
    "winter",   "wizard",  "wolf",     "wren",     "yacht",    "zebra",
};

enum { ADJECTIVES = sizeof adjectives / sizeof *adjectives, NOUNS = sizeof nouns / sizeof *nouns };

uint64_t words_single(void)
{
    return ADJECTIVES + NOUNS;
}

uint64_t words_pairs(void)
{
    return (uint64_t)ADJECTIVES * NOUNS;
}

uint64_t words_nouns(void)
{
    return NOUNS;
}

size_t words_single_at(uint64_t index, char *out)
{
    return (size_t)snprintf(out, WORD_TEXT, "%s",
                            index < ADJECTIVES ? adjectives[index] : nouns[index - ADJECTIVES]);
}

size_t words_pair_at(uint64_t index, char *out)
{
    return (size_t)snprintf(out, WORD_TEXT, "%s-%s", adjectives[index % ADJECTIVES], nouns[index / ADJECTIVES]);
}
