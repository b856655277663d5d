/* protobuf by a descriptor: any FileDescriptorProto and any message of it. An input is the length of
 * the file in two bytes, the file, the number of the message's type, and the message; a file that is
 * empty is a fixed one. */
#include "ingest/formats/protobuf_plan.h"
#include "tests/fuzz/fuzz.h"

enum { PATHS = 7 };
static const char *const paths[PATHS] = {"a", "b.c", "l[1]", "m.k", "l2[0].a", "t", "o"};
/* message A { string a = 1; A b = 2; repeated sint32 l = 3; map<string, E> m = 4;
 *             repeated A l2 = 5; google.protobuf.Timestamp t = 6; oneof x { fixed64 o = 7; bool p = 8; }
 *             float c = 9; } enum E { Z = 0; Y = 1; } */
static const unsigned char usual[] = "\x0a\x01"
                                     "f"
                                     "\x62\x06"
                                     "proto3"
                                     "\x2a\x0f\x0a\x01"
                                     "E\x12\x05\x0a\x01"
                                     "Z\x10\x00\x12\x03\x0a\x01"
                                     "Y"
                                     "\x22\xb6\x01\x0a\x01"
                                     "A"
                                     "\x12\x09\x0a\x01"
                                     "a\x18\x01\x20\x01\x28\x09"
                                     "\x12\x0d\x0a\x01"
                                     "b\x18\x02\x20\x01\x28\x0b\x32\x02"
                                     ".A"
                                     "\x12\x09\x0a\x01"
                                     "l\x18\x03\x20\x03\x28\x11"
                                     "\x12\x0f\x0a\x01"
                                     "m\x18\x04\x20\x03\x28\x0b\x32\x04"
                                     ".A.M"
                                     "\x12\x0e\x0a\x02"
                                     "l2\x18\x05\x20\x03\x28\x0b\x32\x02"
                                     ".A"
                                     "\x12\x25\x0a\x01"
                                     "t\x18\x06\x20\x01\x28\x0b\x32\x1a"
                                     ".google.protobuf.Timestamp"
                                     "\x12\x0b\x0a\x01"
                                     "o\x18\x07\x20\x01\x28\x06\x48\x00"
                                     "\x12\x0b\x0a\x01"
                                     "p\x18\x08\x20\x01\x28\x08\x48\x00"
                                     "\x12\x09\x0a\x01"
                                     "c\x18\x09\x20\x01\x28\x02"
                                     "\x1a\x1f\x0a\x01"
                                     "M\x3a\x02\x38\x01\x12\x09\x0a\x01"
                                     "k\x18\x01\x20\x01\x28\x09"
                                     "\x12\x0b\x0a\x01"
                                     "v\x18\x02\x28\x0e\x32\x02"
                                     ".E";

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_bytes       in = {data, size};
    aa_err           err = AA_ERR_INIT;
    path_tree       *pt = NULL;
    protobuf_schema *ps = NULL;
    protobuf_plan   *pp = NULL;
    picked           value[PATHS];
    volatile int     sum = 0;
    size_t           len = fuzz_byte(&in);
    len |= (size_t)fuzz_byte(&in) << 8;
    const uint8_t      *file = fuzz_take(&in, len, &len);
    const uint32_t      type = fuzz_byte(&in);
    const protobuf_file one =
        len > 0 ? (protobuf_file){file, len} : (protobuf_file){usual, sizeof usual - 1};

    AA_REQUIRE(path_tree_new(&pt, paths, PATHS, &err) == AA_OK);
    const aa_status st = protobuf_schema_new(&ps, &one, 1, &err);
    AA_REQUIRE(st == AA_OK || (len > 0 && err.text[0] && !ps));
    if (ps && type < ps->count && !ps->message[type].is_enum &&
        protobuf_plan_new(&pp, ps, type, pt, 1, &err) == AA_OK) {
        const char *wrong = protobuf_plan_read(pp, in.at, in.left, value);
        for (size_t i = 0; !wrong && i < PATHS; i++)
            for (size_t k = 0; value[i].text && k < value[i].len; k++)
                sum += value[i].text[k];
    }
    (void)sum;
    protobuf_plan_free(&pp);
    path_tree_free(&pt);
    protobuf_schema_free(&ps);
    return 0;
}

/* Now and then begin anew from a valid input, which takes the place of seed files. */
size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    static const unsigned char message[] = "\x0a\x01x\x12\x05\x4d\0\0\x80\x3f\x1a\x02\x01\x02\x22"
                                           "\x05\x0a\x01k\x10\x01\x2a\x03\x0a\x01y"
                                           "\x39\x01\0\0\0\0\0\0\0\x40\x01\x33\x08\x01\x34";
    const size_t               file = seed / 16 % 2 ? sizeof usual - 1 : 0;
    if ((size > 1 && seed % 16) || file + sizeof message + 2 > max_size)
        return LLVMFuzzerMutate(data, size, max_size);
    data[0] = (uint8_t)file;
    data[1] = (uint8_t)(file >> 8);
    memcpy(data + 2, usual, file);
    data[2 + file] = 1; /* E is the first type */
    memcpy(data + 3 + file, message, sizeof message - 1);
    return 2 + file + sizeof message;
}
