// Doubt 5: may one PROG_ARRAY serve tcx/ingress and tcx/egress programs?
#include "doubt.h"

namespace {

std::string outcome(int err) {
  return err ? std::string("refused, errno ") + std::to_string(-err) + " " + std::strerror(-err)
             : "accepted";
}

// Loads only `names`; returns libbpf's error or 0 and the object.
int load(const std::string& path, std::vector<const char*> names, bool expected_attach_type,
         bpf_object** object) {
  *object = bpf_object__open_file(path.c_str(), nullptr);
  bpf_program* p;
  bpf_object__for_each_program(p, *object) {
    const bool wanted = std::any_of(names.begin(), names.end(), [&](const char* n) {
      return !std::strcmp(n, bpf_program__name(p));
    });
    bpf_program__set_autoload(p, wanted);
    if (!expected_attach_type) bpf_program__set_expected_attach_type(p, bpf_attach_type(0));
  }
  return bpf_object__load(*object);
}

int put(bpf_object* object, const char* stage) {
  const int map = bpf_object__find_map_fd_by_name(object, "stages");
  const int prog = bpf_program__fd(doubt::program(object, stage));
  const unsigned slot = 0;
  return bpf_map_update_elem(map, &slot, &prog, BPF_ANY);
}

void report(const char* what, const std::string& result) {
  std::printf("%-76s %s\n", what, result.c_str());
}

}  // namespace

int main(int, char** argv) {
  if (unshare(CLONE_NEWNET)) doubt::die("unshare");  // links are made on this namespace's lo
  libbpf_set_print(doubt::quiet);
  const std::string path = doubt::object_path(argv[0], "prog_array");
  bpf_object* object;
  report("entries of both attach types use the array: load",
         outcome(load(path, {"ingress_entry", "egress_entry"}, true, &object)));
  bpf_object__close(object);

  if (load(path, {"ingress_entry", "ingress_stage", "egress_stage"}, true, &object))
    doubt::die("load");
  report("ingress entry, ingress stage into its array", outcome(put(object, "ingress_stage")));
  report("ingress entry, egress stage into its array", outcome(put(object, "egress_stage")));
  bpf_object__close(object);

  int err = load(path, {"ingress_entry", "egress_entry", "ingress_stage", "egress_stage"}, false,
                 &object);
  report("all four loaded with expected_attach_type 0 (as for clsact): load", outcome(err));
  if (!err) {
    report("  one stage for both", outcome(put(object, "egress_stage")));
    int lo = 1;
    LIBBPF_OPTS(bpf_link_create_opts, opts);
    const int in = bpf_link_create(bpf_program__fd(doubt::program(object, "ingress_entry")), lo,
                                   BPF_TCX_INGRESS, &opts);
    report("  attach such an entry at tcx/ingress", outcome(in < 0 ? in : 0));
    const int out = bpf_link_create(bpf_program__fd(doubt::program(object, "egress_entry")), lo,
                                    BPF_TCX_EGRESS, &opts);
    report("  attach such an entry at tcx/egress", outcome(out < 0 ? out : 0));
    if (in >= 0) close(in);
    if (out >= 0) close(out);
  }
  bpf_object__close(object);
}
